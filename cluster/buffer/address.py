"""Where a run's buffer service is and what it keeps: a value that is sent to actors, which connect by themselves."""

from dataclasses import dataclass, field

from cluster.buffer.connection import connect
from cluster.buffer.push import Limits
from cluster.buffer.reader import RedisChunkReader
from cluster.buffer.writer import RedisChunkWriter
from distill.errors import ConfigError


@dataclass(frozen=True)
class BufferAddress:
    """A run's buffer service.

    Attributes:
        url: of the Redis server; not shown, since it may hold a password.
        run: name of the run.
        games: its games.
        limits: what is kept per game.
    """

    url: str = field(repr=False)
    run: str
    games: tuple[str, ...]
    limits: Limits

    def writer(self, game: str, *, timeout: float = 1.0) -> RedisChunkWriter:
        """Make a writer with a connection of its own, which connects when it is first used.

        Args:
            game: the game whose chunks are written.
            timeout: seconds after which an attempt counts as an outage. It is short because a producer should play on.

        Raises:
            ConfigError: if the game is not of this run.
        """
        if game not in self.games:
            raise ConfigError(f"game {game!r}: run {self.run} has {', '.join(self.games)}")
        return RedisChunkWriter(connect(self.url, timeout=timeout), self.run, game, self.limits)

    def reader(self, rank: int = 0) -> RedisChunkReader:
        """Make a reader of all games with a connection of its own, which connects when it is first used.

        Raises:
            ConfigError: if trimming does not wait for a reader of this rank.
        """
        if not 0 <= rank < self.limits.readers:
            raise ConfigError(f"reader rank: expected 0 to {self.limits.readers - 1}, found {rank}")
        return RedisChunkReader(connect(self.url), self.run, self.games, shards=self.limits.shards, rank=rank)
