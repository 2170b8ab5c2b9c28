"""Where a run's actors find the buffer service and the registry: `distill.protocols.Services` over Redis."""

from dataclasses import dataclass, replace
from pathlib import Path

from cluster.buffer.address import BufferAddress
from cluster.models.ledger import Ledger
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.holder import Holder
from distill.protocols import EXPLORERS_SUFFIX, ChunkReader, ChunkWriter


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

    def reader(self, rank: int) -> ChunkReader:
        """Connect as the learner of that rank."""
        return self.address.reader(rank, self.holder)

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
