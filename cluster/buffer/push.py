"""One round trip that pushes several encoded chunks, each by one atomic script."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from redis.exceptions import NoScriptError

from cluster.redis.keys import StreamKeys, stream_keys
from cluster.redis.scripts import script_sha
from cluster.redis.typed_redis import typed


@dataclass(frozen=True)
class Limits:
    """How much the buffer service keeps of one game.

    Attributes:
        capacity: newest transitions kept, divided evenly over the shards.
        backlog: unread transitions above which it is full, divided evenly over the shards.
        shards: streams of the game.
        readers: ranks 0 to readers - 1 that must have read a chunk before it may be trimmed.
    """

    capacity: int
    backlog: int
    shards: int = 1
    readers: int = 1


@dataclass(frozen=True)
class EncodedChunk:
    """A chunk ready to be pushed; the fields are those of its header."""

    producer_id: str
    sequence: int
    steps: int
    data: bytes


@dataclass(frozen=True)
class Answer:
    """What the server said to a push.

    Attributes:
        status: ok; duplicate, it has that sequence number already; gap, it lacks the one before; full.
        number: with ok, sequence numbers skipped by an accepted gap; with duplicate and gap, the last one it has; with
            full, unread transitions.
    """

    status: Literal["ok", "duplicate", "gap", "full"]
    number: int


def push_arguments(keys: StreamKeys, limits: Limits, chunk: EncodedChunk, accepted_gap: int | None) -> list[Any]:
    """Return what EVALSHA takes to push a chunk.

    Args:
        keys: of the stream.
        limits: of its game.
        chunk: to be pushed.
        accepted_gap: the last sequence number of the server after which it may skip some; None if it may not.
    """
    return [
        *(script_sha("push"), 4, keys.chunks, keys.meta, keys.producers, keys.cursors),
        *(chunk.producer_id, chunk.sequence, chunk.steps, chunk.data),
        *(-(-limits.capacity // limits.shards), -(-limits.backlog // limits.shards), limits.readers),
        "" if accepted_gap is None else accepted_gap,
        secrets.token_hex(8),
    ]


def answer_of(reply: tuple[bytes, int]) -> Answer:
    """Return what the script has said."""
    status, number = reply
    return Answer(cast(Any, status.decode()), int(number))


class Pusher:
    """Pushes chunks to one stream of a run."""

    def __init__(self, client: redis.Redis, run: str, game: str, limits: Limits, shard: int = 0) -> None:
        self._client = client
        self._limits = limits
        self._keys = stream_keys(run, game, shard)

    def push(self, chunks: Sequence[EncodedChunk], accepted_gaps: Mapping[str, int]) -> list[Answer]:
        """Push chunks in one round trip and return one answer each.

        Args:
            chunks: in the order of their sequence numbers.
            accepted_gaps: by producer, the last sequence number of the server after which its next chunk may skip some.

        Raises:
            redis.RedisError: if the server is out of reach or answers with an error; any of the chunks may be there.
        """
        replies = self._send(chunks, accepted_gaps)
        for reply in replies:
            if isinstance(reply, NoScriptError):
                raise NoScriptError("the server has forgotten its scripts; the learner loads them when it next reads")
            if isinstance(reply, Exception):
                raise reply
        return [answer_of(reply) for reply in replies]

    def last_sequences(self, producer_ids: Sequence[str]) -> list[int]:
        """Return the last sequence number that the server has of each producer, -1 if none. Raises redis.RedisError."""
        pipeline = typed(self._client).pipeline(transaction=False)
        for producer_id in producer_ids:
            pipeline.hget(self._keys.producers, producer_id)
        return [int(last) if last and last.isdigit() else -1 for last in pipeline.execute()]

    def _send(self, chunks: Sequence[EncodedChunk], accepted_gaps: Mapping[str, int]) -> list[Any]:
        pipeline = typed(self._client).pipeline(transaction=False)
        for chunk in chunks:
            gap = accepted_gaps.get(chunk.producer_id)
            pipeline.evalsha(*push_arguments(self._keys, self._limits, chunk, gap))
        return pipeline.execute(raise_on_error=False)
