"""What actors and learner need of the buffer service and the registry; `cluster` implements it and passes it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from distill.chunks import Chunk

STUDENT = "student"
"""The lineage of models that holds the student."""
EXPLORERS_SUFFIX = ".explorers"


@dataclass(frozen=True)
class StoredChunk:
    """A chunk as the buffer service keeps it, not yet validated.

    Attributes:
        game: label of the stream it was read from.
        end: transitions ever pushed to that stream up to and including this chunk.
        steps: T as the server counted it.
        producer_id: random id of the producer's process.
        sequence: its number among those of that process.
        data: the encoded chunk.
        foreign: what is wrong where no writer of ours has made it, and there is no chunk; else empty.
    """

    game: str
    end: int
    steps: int
    producer_id: str
    sequence: int
    data: bytes
    foreign: str = ""


@dataclass
class WriterCounters:
    """What a `ChunkWriter` has done since it was made.

    Attributes:
        chunks: pushed and acknowledged, duplicates not counted.
        transitions: the steps of these.
        bytes: their encoded size.
        repushed: chunks pushed again because the server had lost them.
        lost: chunks that the server lost and this writer no longer held.
        full: answers that the buffer is full.
        outages: failed attempts to reach the server.
        wait_seconds: time spent in `wait`.
    """

    chunks: int = 0
    transitions: int = 0
    bytes: int = 0
    repushed: int = 0
    lost: int = 0
    full: int = 0
    outages: int = 0
    wait_seconds: float = 0.0


class ChunkWriter(Protocol):
    """The producer's side of the buffer service for one game; holds a bounded backlog while it is full or away."""

    @property
    def counters(self) -> WriterCounters:
        """What was done so far."""
        ...

    def write(self, chunk: Chunk) -> None:
        """Queue a chunk, whose sequence numbers are consecutive, and push what the server takes now.

        Never waits for a full or absent server. Raises `ChunkError` if the chunk is not valid.
        """
        ...

    def wait(self, timeout: float) -> bool:
        """Push until the backlog has room again; return whether it has after at most `timeout` seconds."""
        ...

    def flush(self, timeout: float) -> int:
        """Push the whole backlog within `timeout` seconds; return the number of chunks that are left."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class ChunkReader(Protocol):
    """The learner's side of the buffer service, for all games of a run.

    A chunk can be delivered again, after `rewind` or when the server was restarted: the consumer knows it by
    (producer_id, sequence). The sequence numbers of a producer id only grow.
    """

    def read(self, game: str, max_chunks: int) -> list[StoredChunk]:
        """Return the next chunks of a game, none if there are none. Raises `BufferUnavailable`."""
        ...

    def ended(self) -> bool:
        """Return whether all there ever will be was read; a buffer service never knows that."""
        ...

    def commit(self) -> None:
        """Store how far this reader has read, so that what lies behind may be trimmed.

        Does nothing where that is stored. Raises `BufferUnavailable`; then it is owed.
        """
        ...

    def rewind(self) -> None:
        """Read again from the oldest chunk that the server keeps."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class ModelRegistry(Protocol):
    """Model versions of one lineage as safetensors bytes, with names such as `latest` and `best` that point at one.

    A lineage is a sequence of versions of one network in training: `student`, or a Q-learner's by its games.
    """

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        """Store a model, point `latest` at it, and return its version: 1, 2, 3, ..."""
        ...

    def fetch(self, version: int) -> bytes:
        """Return a version's bytes. Raises `BufferUnavailable` if they are not there, or not yet again."""
        ...

    def describe(self, version: int) -> dict[str, Any]:
        """Return a version's metadata. Raises `RunError` if the registry does not know it."""
        ...

    def resolve(self, name: str) -> int | None:
        """Return the version that a name points at, or None."""
        ...

    def assign(self, name: str, version: int) -> None:
        """Point a name at a version."""
        ...


class Services(Protocol):
    """A picklable address book: every process connects for itself."""

    @property
    def run_id(self) -> str:
        """Random id of the run, which all its chunks carry."""
        ...

    @property
    def incarnation(self) -> int:
        """Number of the process that connects: of those that follow one another in a role, the newest has the largest.

        Readers and registries of a process that was replaced raise `ReplacedError`, and nothing that it writes counts.
        """
        ...

    def writer(self, game: str, index: int) -> ChunkWriter:
        """Connect as the producer of one game with that number, counted from 0."""
        ...

    def reader(self, rank: int, part: int = 0, parts: int = 1) -> ChunkReader:
        """Connect as the learner of that rank.

        Args:
            rank: of the reader, one for each lineage.
            part: number of the process among those that read for the rank, each other streams of every game.
            parts: how many these are.
        """
        ...

    def registry(self, lineage: str) -> ModelRegistry:
        """Connect to the model registry of one lineage."""
        ...


def explorers_lineage(lineage: str) -> str:
    """Return the lineage of the versions with which a Q-learner's explorers play; only the newest are kept."""
    return f"{lineage}{EXPLORERS_SUFFIX}"
