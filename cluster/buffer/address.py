"""Where a run's buffer service is and what it keeps: a value that is sent to actors, which connect by themselves."""

from dataclasses import dataclass, field

from cluster.buffer.push import Limits
from cluster.buffer.reader import RedisChunkReader
from cluster.buffer.writer import RedisChunkWriter
from cluster.redis.connection import connect
from cluster.redis.holder import Holder
from cluster.redis.keys import server_of
from distill.buffer_urls import split_urls
from distill.chunks import NO_RUN
from distill.errors import ConfigError


@dataclass(frozen=True)
class BufferAddress:
    """A run's buffer service.

    Attributes:
        urls: of the Redis server, or several separated by commas; not shown, since they may hold passwords.
        run: name of the run.
        games: its games.
        limits: what is kept per game.
        run_id: random id of the run.

    Raises:
        ConfigError: if there are more servers than streams.
    """

    urls: str = field(repr=False)
    run: str
    games: tuple[str, ...]
    limits: Limits
    run_id: str = NO_RUN

    def __post_init__(self) -> None:
        streams = len(self.games) * self.limits.shards
        if self.games and len(self.servers) > streams:
            raise ConfigError(
                f"buffer: found {len(self.servers)} servers for {streams} streams, {self.limits.shards} of each game;"
                " name fewer servers, or raise --shards"
            )

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the URL of every server."""
        return split_urls(self.urls)

    @property
    def registry(self) -> str:
        """Return the URL of the server that keeps the models, the first one."""
        return self.servers[0]

    def shards_by_server(self, game: str) -> dict[int, list[int]]:
        """Return the shards of a game that are on each of its servers."""
        found: dict[int, list[int]] = {}
        for shard in range(self.limits.shards):
            found.setdefault(self._server_of(game, shard), []).append(shard)
        return found

    def stream(self, game: str, index: int) -> tuple[str, int]:
        """Return to which stream of a game its producer of that number writes: the URL of its server, and its shard.

        Raises:
            ConfigError: if the game is not of this run.
        """
        if game not in self.games:
            raise ConfigError(f"game {game!r}: run {self.run} has {', '.join(self.games)}")
        shard = index % self.limits.shards
        return self.servers[self._server_of(game, shard)], shard

    def writer(self, game: str, index: int = 0, *, timeout: float = 1.0) -> RedisChunkWriter:
        """Make a writer with a connection of its own, which connects when it is first used.

        Args:
            game: the game whose chunks are written.
            index: number of the producer among those of the game, who take the game's streams in turn.
            timeout: seconds after which an attempt counts as an outage. It is short because a producer should play on.

        Raises:
            ConfigError: if the game is not of this run.
        """
        url, shard = self.stream(game, index)
        return RedisChunkWriter(connect(url, timeout=timeout), self.run, game, self.limits, shard=shard)

    def reader(self, rank: int = 0, holder: Holder | None = None, *, part: int = 0, parts: int = 1) -> RedisChunkReader:
        """Make a reader of all games with connections of its own, which connect when they are first used.

        Args:
            rank: of the reader.
            holder: the process that reads; None where nobody can replace it.
            part: number of the process among those that read for the rank, each other streams of every game.
            parts: how many these are.

        Raises:
            ConfigError: if trimming does not wait for a reader of this rank, or there is no stream for this part.
        """
        shards = range(part, self.limits.shards, parts)
        if not shards:
            raise ConfigError(
                f"reader: expected at most {self.limits.shards} for each rank, one a shard, found {parts}"
            )
        if not 0 <= rank < self.limits.readers:
            raise ConfigError(f"reader rank: expected 0 to {self.limits.readers - 1}, found {rank}")
        clients = [connect(url) for url in self.servers]
        return RedisChunkReader(clients, self.run, self.games, shards=shards, rank=rank, holder=holder)

    def _server_of(self, game: str, shard: int) -> int:
        return server_of(self.games.index(game), shard, len(self.servers))
