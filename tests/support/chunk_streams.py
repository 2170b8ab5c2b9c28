"""What the tests of the buffer service share."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from cluster.buffer.reader import RedisChunkReader
from distill.chunks import NO_RUN, Chunk, ChunkHeader, column_shapes
from distill.protocols import StoredChunk


def make_chunk(
    sequence: int, *, producer_id: str = "producer-a", steps: int = 4, game: str = "pong", seed: int = 0
) -> Chunk:
    """Make a valid chunk whose frames differ from those of other sequence numbers and do not compress."""
    rng = np.random.default_rng([seed, sequence])
    shapes = column_shapes(steps, 6)
    flags = {name: np.zeros(steps, bool) for name in ("terminated", "truncated", "life_lost")}
    return Chunk(
        header=ChunkHeader(NO_RUN, game, "producer", producer_id, sequence, 0, 0, steps, 6, 3),
        frames=rng.integers(0, 256, shapes["frames"], np.uint8),
        q_values=rng.normal(size=shapes["q_values"]).astype(np.float32),
        taken=rng.integers(0, 6, steps, np.uint8),
        rewards=np.zeros(steps, np.float32),
        **flags,
    )


def read_all(reader: RedisChunkReader, game: str = "pong", at_once: int = 7) -> list[StoredChunk]:
    """Read until there is nothing more."""
    chunks: list[StoredChunk] = []
    while found := reader.read(game, at_once):
        chunks += found
    return chunks


def ids(chunks: Iterable[StoredChunk]) -> list[tuple[str, int]]:
    """Return what the consumer knows chunks by."""
    return [(chunk.producer_id, chunk.sequence) for chunk in chunks]


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Poll a condition, and fail if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
