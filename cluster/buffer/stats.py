"""What the buffer service holds: per game for the display, per run for `distill runs`, and how a run is deleted."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import redis

from cluster.redis.connection import reaching
from cluster.redis.keys import PREFIX, parse_key, run_pattern, stream_keys
from cluster.redis.scripts import call_script
from cluster.redis.typed_redis import typed

_SCAN_COUNT = 500


@dataclass(frozen=True)
class GameStats:
    """What the buffer service holds of one game.

    Attributes:
        transitions: kept.
        chunks: kept.
        bytes: memory of the chunks, as Redis estimates it.
        unread: transitions that the slowest reader has not read.
        pushed_transitions: ever pushed.
        pushed_chunks: ever pushed.
        trimmed_chunks: dropped after every reader had read them.
    """

    transitions: int
    chunks: int
    bytes: int
    unread: int
    pushed_transitions: int
    pushed_chunks: int
    trimmed_chunks: int


@dataclass(frozen=True)
class RunUsage:
    """What a run holds in Redis: chunks, the stored models and the bytes of all its keys."""

    run: str
    chunks: int
    models: int
    bytes: int

    def __add__(self, other: "RunUsage") -> "RunUsage":
        """Return what the run holds in both servers."""
        return RunUsage(self.run, self.chunks + other.chunks, self.models + other.models, self.bytes + other.bytes)


def game_stats(
    client: redis.Redis, run: str, game: str, *, shards: Iterable[int] = (0,), readers: int = 1
) -> GameStats:
    """Return what a server holds of these shards of a game.

    Raises:
        BufferUnavailable: if the server cannot be reached.
    """
    parts: list[list[int]] = []
    with reaching(client, f"count what it holds of {game}"):
        for shard in shards:
            keys = stream_keys(run, game, shard)
            parts.append(call_script(client, "stats", [keys.chunks, keys.meta, keys.cursors], [readers]))
    return GameStats(*(sum(column) for column in zip(*parts, strict=True)))


def list_runs(client: redis.Redis) -> list[RunUsage]:
    """Return what every run holds in this Redis, sorted by name.

    Raises:
        BufferUnavailable: if the server cannot be reached.
    """
    chunks: dict[str, int] = defaultdict(int)
    models: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    with reaching(client, "list its runs"):
        for keys in _batches(typed(client).scan_iter(match=PREFIX + "*", count=_SCAN_COUNT)):
            for key, size, length in zip(keys, _memory(client, keys), _lengths(client, keys), strict=True):
                parsed = parse_key(key)
                if parsed is not None:
                    sizes[parsed.run] += size
                    chunks[parsed.run] += length
                    models[parsed.run] += parsed.kind.startswith("model:")
    return [RunUsage(run, chunks[run], models[run], sizes[run]) for run in sorted(sizes)]


def delete_run(client: redis.Redis, run: str) -> int:
    """Delete the keys of one run, which nothing may be using; return how many there were.

    Raises:
        BufferUnavailable: if the server cannot be reached.
    """
    deleted = 0
    with reaching(client, f"delete run {run}"):
        for keys in _batches(typed(client).scan_iter(match=run_pattern(run), count=_SCAN_COUNT)):
            deleted += client.unlink(*keys)
    return deleted


def _batches(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(keys)
    while batch := list(islice(iterator, _SCAN_COUNT)):
        yield batch


def _memory(client: redis.Redis, keys: list[bytes]) -> list[int]:
    pipeline = typed(client).pipeline(transaction=False)
    for key in keys:
        typed(pipeline).memory_usage(key)
    return [size or 0 for size in pipeline.execute()]


def _lengths(client: redis.Redis, keys: list[bytes]) -> list[int]:
    """Return the number of chunks under each key, 0 where it is no stream."""
    streams = [key for key in keys if key.endswith(b":chunks")]
    pipeline = typed(client).pipeline(transaction=False)
    for key in streams:
        pipeline.xlen(key)
    lengths = dict(zip(streams, pipeline.execute(), strict=True))
    return [lengths.get(key, 0) for key in keys]
