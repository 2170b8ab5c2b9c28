"""Where the parts of a run find chunks and models: in Redis, or in a recording and the run's own folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cluster.buffer.address import BufferAddress
from cluster.models.folder_ledger import AnyLedger, FolderLedger
from cluster.models.ledger import Ledger
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.holder import Holder
from distill.chunks import NO_RUN
from distill.errors import RunError
from distill.protocols import EXPLORERS_SUFFIX, ChunkReader, ChunkWriter, Services
from distill.recorded_chunks import RecordingReader
from distill.recording import Recording


class RunServices(Services, Protocol):
    """What the process that drives a run needs beside what its parts do."""

    @property
    def address(self) -> BufferAddress | None:
        """The buffer service, None where there is none."""
        ...

    def for_actors(self) -> Services:
        """Return the same for processes that publish nothing."""
        ...

    def held_by(self, role: str, incarnation: int) -> "RunServices":
        """Return the same for the process that holds a role, see `cluster.redis.holder`."""
        ...

    def ledger(self, lineage: str) -> AnyLedger:
        """Return the registry of one lineage with what was decided about its versions."""
        ...


@dataclass(frozen=True)
class RedisServices:
    """Connects any process of a run.

    Attributes:
        address: the buffer service.
        mirror: the run's folder, into which the registry is mirrored; None for processes that only read models, which
            may be on another machine and have fewer rights.
        holder: the process that connects, which may be replaced; None for processes that only read models and push.
    """

    address: BufferAddress
    mirror: Path | None
    holder: Holder | None = None

    @property
    def run_id(self) -> str:
        """Random id of the run."""
        return self.address.run_id

    @property
    def incarnation(self) -> int:
        """Number of the process that connects among those that follow one another in its role."""
        return 0 if self.holder is None else self.holder.incarnation

    def for_actors(self) -> "RedisServices":
        """Return the same for processes that publish nothing."""
        return replace(self, mirror=None, holder=None)

    def held_by(self, role: str, incarnation: int) -> "RedisServices":
        """Return the same for the process that holds a role, see `cluster.redis.holder`."""
        return self if self.holder is None else replace(self, holder=self.holder.to(role, incarnation))

    def writer(self, game: str, index: int) -> ChunkWriter:
        """Connect as the producer of one game with that number."""
        return self.address.writer(game, index)

    def reader(self, rank: int, part: int = 0, parts: int = 1) -> ChunkReader:
        """Connect as the learner of that rank, or as one of the processes that read for it."""
        return self.address.reader(rank, self.holder, part=part, parts=parts)

    def registry(self, lineage: str) -> RedisModelRegistry:
        """Connect to the model registry of one lineage."""
        client, run = connect(self.address.registry), self.address.run
        if lineage.endswith(EXPLORERS_SUFFIX):
            # New every few seconds and worth nothing after the next one.
            registry = RedisModelRegistry(client, run, lineage, keep=2, history=False, holder=self.holder)
        elif self.mirror is None:
            registry = RedisModelRegistry(client, run, lineage, holder=self.holder)
        else:
            registry = self.ledger(lineage)
        # Before anything is read: what a predecessor writes from now on would not be seen.
        registry.claim()
        return registry

    def ledger(self, lineage: str) -> Ledger:
        """Return the registry of one lineage with what was decided about its versions; it connects when it is used."""
        assert self.mirror is not None, "what is decided is kept in the run's folder"
        return Ledger(connect(self.address.registry), self.address.run, lineage, self.mirror, holder=self.holder)


@dataclass(frozen=True)
class FolderServices:
    """Serves a run of recorded data in one process, without any server.

    Attributes:
        data: the recording's folder.
        games: of it that the run learns.
        folder: the run's.
        incarnation: number of the process that drives the run.
        address: of no buffer service.
        run_id: of the chunks: they were recorded for no run.
    """

    data: Path
    games: Sequence[str]
    folder: Path
    incarnation: int = 0
    address: None = None
    run_id: str = NO_RUN

    def for_actors(self) -> "FolderServices":
        """Return this: there is one process."""
        return self

    def held_by(self, role: str, incarnation: int) -> "FolderServices":
        """Return the same with that number; the run's folder is held by its only process, whatever its roles."""
        del role
        return replace(self, incarnation=incarnation)

    def writer(self, game: str, index: int) -> ChunkWriter:
        """Raise RunError: a recording is only read."""
        raise RunError(f"{self.data}: expected a run that only reads it, found producer {index} of {game}")

    def reader(self, rank: int, part: int = 0, parts: int = 1) -> RecordingReader:
        """Open the recording for the learner of that rank; every one reads all of it."""
        del rank, part, parts
        return RecordingReader(Recording.open(self.data), self.games)

    def registry(self, lineage: str) -> FolderLedger:
        """Open the model registry of one lineage."""
        return self.ledger(lineage)

    def ledger(self, lineage: str) -> FolderLedger:
        """Return the registry of one lineage with what was decided about its versions."""
        return FolderLedger(self.folder, lineage)
