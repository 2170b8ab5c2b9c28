"""Where a run's actors find the buffer service and the registry: `distill.protocols.Services` over Redis."""

from dataclasses import dataclass
from pathlib import Path

from cluster.buffer.address import BufferAddress
from cluster.buffer.connection import connect
from cluster.registry import RedisModelRegistry
from distill.protocols import ChunkReader, ChunkWriter, ModelRegistry


@dataclass(frozen=True)
class RedisServices:
    """Connects any process of a run.

    Attributes:
        address: the buffer service.
        mirror: folder into which the registry is mirrored.
    """

    address: BufferAddress
    mirror: Path

    def writer(self, game: str) -> ChunkWriter:
        """Connect as a producer of one game."""
        return self.address.writer(game)

    def reader(self, rank: int) -> ChunkReader:
        """Connect as the learner of that rank."""
        return self.address.reader(rank)

    def registry(self) -> ModelRegistry:
        """Connect to the model registry."""
        return RedisModelRegistry(connect(self.address.url), self.address.run, self.mirror)
