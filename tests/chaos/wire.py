"""The one place of the chaos tests that knows how chunks and services name a producer and a run."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgpack
import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import EncodedChunk, Limits
from cluster.redis.holder import Holder
from cluster.redis.keys import stream_keys
from cluster.services import RedisServices
from distill.chunks import CHECKSUM_BYTES, Chunk, ChunkEncoder
from distill.games import action_count
from tests.chaos.history import ChunkId
from tests.support.chunk_examples import example_chunk

GAME, ACTIONS, STEPS = "pong", 6, 8
RUN, RUN_ID, OTHER_RUN_ID = "chaos", "0c" * 16, "0d" * 16
LIMITS = Limits(capacity=2_000, backlog=320)
"""Small, so that seconds of play fill the backlog and trim what was read."""


def services(url: str, folder: Path, role: str = "run", incarnation: int = 0) -> RedisServices:
    """Return what the process that holds a role of the run connects with."""
    address = BufferAddress(url, RUN, (GAME,), LIMITS, RUN_ID)
    return RedisServices(address, folder, Holder(RUN, RUN_ID, "here", str(folder), role, incarnation))


def make_chunk(producer: str, sequence: int, *, strange: bool = False) -> Chunk:
    """Return a chunk whose content tells producer and sequence number; a strange one is of another run of our name."""
    seed = int.from_bytes(hashlib.blake2b(f"{producer}/{sequence}".encode(), digest_size=4).digest())
    chunk = example_chunk(STEPS, ACTIONS, seed)
    return replace(
        chunk,
        header=replace(
            chunk.header, run_id=OTHER_RUN_ID if strange else RUN_ID, game=GAME, producer_id=producer, sequence=sequence
        ),
    )


def encode(chunk: Chunk, *, damaged: bool = False, schema: bool = False) -> EncodedChunk:
    """Return a chunk as it is pushed: with one bit turned over, or of another schema, if it is to be so."""
    data = bytearray(ChunkEncoder().encode(chunk))
    if schema:
        magic, header, columns = msgpack.unpackb(data[:-CHECKSUM_BYTES])
        body = msgpack.packb([magic, header | {"schema": header["schema"] + 1}, columns])
        data = bytearray(body + hashlib.blake2b(body, digest_size=CHECKSUM_BYTES).digest())
    if damaged:
        data[len(data) // 2] ^= 1
    return EncodedChunk(chunk.header.producer_id, chunk.header.sequence, chunk.header.steps, bytes(data))


def bad_chunks(producer: str, what: str, game: str, count: int = 3) -> list[EncodedChunk]:
    """Return chunks that a run of another game must refuse: damaged, of another schema, or of another run."""
    found: list[EncodedChunk] = []
    for sequence in range(count):
        chunk = example_chunk(STEPS, action_count(game), sequence)
        header = replace(chunk.header, run_id=OTHER_RUN_ID, game=game, producer_id=producer, sequence=sequence)
        found.append(encode(replace(chunk, header=header), damaged=what == "damaged", schema=what == "schema"))
    return found


def id_of(chunk: Chunk) -> ChunkId:
    """Return what the books know a chunk by."""
    return ChunkId(chunk.header.producer_id, chunk.header.sequence)


def stored_ids(client: redis.Redis) -> list[ChunkId]:
    """Return what the books know the entries of the stream by, oldest first; what is no chunk of ours is left out."""
    entries = client.xrange(stream_keys(RUN, GAME, 0).chunks)
    return [chunk for _, fields in entries if (chunk := id_of_entry(fields)) is not None]


def id_of_entry(fields: Mapping[bytes, bytes]) -> ChunkId | None:
    """Return what the books know an entry of a stream by, None if no writer of ours has made it."""
    with suppress(KeyError, ValueError):
        return ChunkId(fields[b"producer_id"].decode(), int(fields[b"sequence"]))
    return None


def id_of_encoded(chunk: EncodedChunk) -> ChunkId:
    """Return what the books know a pushed chunk by."""
    return ChunkId(chunk.producer_id, chunk.sequence)


def digest_of(chunk: Chunk) -> str:
    """Return a digest of all that is learned from a chunk."""
    found = hashlib.blake2b(digest_size=8)
    for name in ("frames", "q_values", "taken", "rewards", "terminated", "truncated", "life_lost"):
        found.update(getattr(chunk, name).tobytes())
    return found.hexdigest()
