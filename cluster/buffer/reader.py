"""The learner's side: reads a run's chunks in order, and tells the server how far it has come.

A server that was restarted may have lost its newest chunks and have put others at the same offsets. Its run_id, and a
random epoch of the stream, are therefore read atomically with the chunks: if one is new, all is read again.

What the server has noted of this reader is read with them too. A commit that failed, or that the server has forgotten,
is thereby owed until it stands there.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from cluster.redis.connection import reaching
from cluster.redis.holder import Holder
from cluster.redis.keys import StreamKeys, server_of, stream_keys
from cluster.redis.scripts import call_script
from distill.chunks import MAX_ENCODED_BYTES
from distill.errors import BufferUnavailable, ConfigError
from distill.protocols import StoredChunk

log = logging.getLogger(__name__)

_LONGEST_ENTRY = MAX_ENCODED_BYTES + 4096
"""Bytes of the longest chunk with what stands beside it."""


@dataclass
class _Stream:
    """One game and shard as this reader knows it.

    Attributes:
        client: of its server.
        keys: of the stream.
        identity: the server's run_id and the stream's epoch at the last read; empty before the first.
        position: the next read begins behind it.
        reached: all that ends at or before it was read from that server and stream.
        cursor: what the server has noted as read.
        away: whether the last read failed.
    """

    client: redis.Redis
    keys: StreamKeys
    identity: tuple[bytes, bytes] = (b"", b"")
    position: int = 0
    reached: int = 0
    cursor: int = 0
    away: bool = False


class RedisChunkReader:
    """Implements `distill.protocols.ChunkReader`; belongs to one thread.

    It begins at the oldest chunk that the server keeps.

    Args:
        clients: a connection to every server of the run, in the order of their URLs; the reader closes them.
        run: name of the run.
        games: the run's games, in its order.
        shards: streams of every game that it reads.
        rank: of this reader; each rank reads everything and has a cursor of its own in every stream. Several processes
            that read for one rank, each other streams, have its cursors between them.
        holder: the process that reads; None where nobody can replace it.

    Making one, reading and committing raise ReplacedError once there is a reader of a later incarnation.
    """

    def __init__(
        self,
        clients: Sequence[redis.Redis],
        run: str,
        games: Sequence[str],
        *,
        shards: Sequence[int] = (0,),
        rank: int = 0,
        holder: Holder | None = None,
    ) -> None:
        self._clients = clients
        self._rank = rank
        self._holder = holder
        self._words = ("", "", "") if holder is None else holder.words
        self._streams = {
            game: [
                _Stream(clients[server_of(place, shard, len(clients))], stream_keys(run, game, shard))
                for shard in shards
            ]
            for place, game in enumerate(games)
        }
        if holder is not None:
            self._fence(holder)

    def _fence(self, holder: Holder) -> None:
        """Keep this reader's predecessor from moving the cursors on, before anything else of its work is taken over."""
        away: set[redis.Redis] = set()
        for stream in self._all():
            if stream.client in away:
                continue
            try:
                holder.claim(stream.client, stream.keys.meta)
            except BufferUnavailable as error:
                # The first read from there does it.
                away.add(stream.client)
                log.warning("%s", error)

    def read(self, game: str, max_chunks: int) -> list[StoredChunk]:
        """Return the next chunks of a game, at most `max_chunks`, in turn from its shards.

        What no writer of ours has made comes without data, for the feed to refuse and count.

        Raises:
            BufferUnavailable: if a server cannot be reached and the others had nothing.
            ConfigError: if the reader was not made for this game.
        """
        streams = self._streams.get(game)
        if streams is None:
            raise ConfigError(f"game {game!r}: this reader has {sorted(self._streams)}")
        chunks: list[StoredChunk] = []
        trouble: BufferUnavailable | None = None
        for turn, stream in enumerate(streams):
            # An even share of what is left; the last ones may use up what the first ones did not have.
            share = -(-(max_chunks - len(chunks)) // (len(streams) - turn))
            if share <= 0:
                break
            try:
                found = self._next(game, stream, share)
            except BufferUnavailable as error:
                if not stream.away:
                    log.warning("%s; other streams are read meanwhile: %s", game, error)
                stream.away, trouble = True, error
                continue
            stream.away = False
            chunks += found
        # The next read begins with another shard, so that none is left behind.
        streams.append(streams.pop(0))
        if trouble is not None and not chunks:
            raise trouble
        return chunks

    def ended(self) -> bool:
        """Return False: more can always come."""
        return False

    def commit(self) -> None:
        """Store how far this reader has read, wherever the server has not noted that yet.

        Does nothing where the server was restarted since the last read: the next read goes back.

        Raises:
            BufferUnavailable: if a server cannot be reached or takes no writes; it was stored at the others.
        """
        trouble: BufferUnavailable | None = None
        for stream in self._all():
            if stream.reached > stream.cursor:
                try:
                    self._commit(stream)
                except BufferUnavailable as error:
                    trouble = error
        if trouble is not None:
            raise trouble

    def rewind(self) -> None:
        """Read again from the oldest chunk that the server keeps. What was committed stays so."""
        for stream in self._all():
            stream.position = 0

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _all(self) -> list[_Stream]:
        return [stream for streams in self._streams.values() for stream in streams]

    def _next(self, game: str, stream: _Stream, count: int) -> list[StoredChunk]:
        keys = stream.keys
        where = [stream.position, *stream.identity]
        with reaching(stream.client, "read chunks"):
            answer = call_script(
                stream.client,
                "read",
                [keys.chunks, keys.meta, keys.producers, keys.cursors],
                [*self._words, *where, count, _LONGEST_ENTRY, self._rank, secrets.token_hex(8)],
            )
        self._require_held(stream.client, answer)
        server, epoch, pushed, stream.cursor, stream.position, entries, mended = answer
        if stream.identity != (server, epoch):
            stream.identity, stream.reached = (server, epoch), 0
        stream.reached = min(max(stream.reached, stream.position), pushed)
        return [
            *(_foreign(game, stream.position, 0, f"{what.decode(errors='replace')}, and is mended") for what in mended),
            *(_stored(game, entry_id, fields) for entry_id, fields in entries),
        ]

    def _commit(self, stream: _Stream) -> None:
        with reaching(stream.client, "store how far it was read"):
            keys = [stream.keys.meta, stream.keys.cursors]
            args = [*self._words, self._rank, stream.reached, *stream.identity]
            answer = call_script(stream.client, "commit", keys, args)
        self._require_held(stream.client, answer)
        if answer[0] == b"ok":
            stream.cursor = stream.reached

    def _require_held(self, client: redis.Redis, answer: Sequence[bytes]) -> None:
        if self._holder is not None:
            self._holder.require(client, answer)


def _stored(game: str, entry_id: bytes, found: list[bytes] | int) -> StoredChunk:
    end, steps = (int(part) for part in entry_id.split(b"-"))
    if isinstance(found, int):
        return _foreign(
            game, end, steps, f"entry {end}-{steps} has {found:,} bytes, a chunk at most {_LONGEST_ENTRY:,}"
        )
    fields = dict(zip(found[::2], found[1::2], strict=True))
    try:
        producer_id, sequence, data = fields[b"producer_id"].decode(), int(fields[b"sequence"]), fields[b"data"]
    except (KeyError, ValueError):
        return _foreign(game, end, steps, f"entry {end}-{steps} has other fields than those of a chunk")
    return StoredChunk(game, end, steps, producer_id, sequence, data)


def _foreign(game: str, end: int, steps: int, why: str) -> StoredChunk:
    return StoredChunk(game, end, steps, "", 0, b"", why)
