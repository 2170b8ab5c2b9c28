"""Where a run's actors find the buffer service and the registry: `distill.protocols.Services` over Redis."""

from dataclasses import dataclass, replace
from pathlib import Path

from cluster.buffer.address import BufferAddress
from cluster.models.ledger import Ledger
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from distill.protocols import EXPLORERS_SUFFIX, ChunkReader, ChunkWriter


@dataclass(frozen=True)
class RedisServices:
    """Connects any process of a run.

    Attributes:
        address: the buffer service.
        mirror: the run's folder, into which the registry is mirrored; None for processes that only read models, which
            may be on another machine and have fewer rights.
    """

    address: BufferAddress
    mirror: Path | None

    def for_actors(self) -> "RedisServices":
        """Return the same for processes that publish nothing."""
        return replace(self, mirror=None)

    def writer(self, game: str, index: int) -> ChunkWriter:
        """Connect as the producer of one game with that number."""
        return self.address.writer(game, index)

    def reader(self, rank: int) -> ChunkReader:
        """Connect as the learner of that rank."""
        return self.address.reader(rank)

    def registry(self, lineage: str) -> RedisModelRegistry:
        """Connect to the model registry of one lineage."""
        client, run = connect(self.address.registry), self.address.run
        if lineage.endswith(EXPLORERS_SUFFIX):
            # New every few seconds and worth nothing after the next one.
            return RedisModelRegistry(client, run, lineage, keep=2, history=False)
        return RedisModelRegistry(client, run, lineage) if self.mirror is None else self.ledger(lineage)

    def ledger(self, lineage: str) -> Ledger:
        """Connect to the model registry of one lineage and what was decided about its versions."""
        assert self.mirror is not None, "what is decided is kept in the run's folder"
        return Ledger(connect(self.address.registry), self.address.run, lineage, self.mirror)
