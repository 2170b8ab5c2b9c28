"""The Redis servers of one cell: private ones that end with it, or the user's own, on which nothing is left."""

import logging
import secrets
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import GameStats, delete_run, game_stats
from cluster.redis.connection import connect, require_server
from cluster.redis.private_server import PrivateRedis
from cluster.scale.readings import ServerReading, read_server
from cluster.services import RedisServices
from distill.buffer_urls import split_urls
from distill.config import BufferConfig
from distill.errors import BufferUnavailable

log = logging.getLogger(__name__)

_READ_CHUNKS = 256


@dataclass(frozen=True)
class Servers:
    """The servers while they are there.

    Attributes:
        services: how the parts of the system connect.
        game: whose chunks they keep.
        clients: a connection to each.
    """

    services: RedisServices
    game: str
    clients: tuple[redis.Redis, ...]

    def readings(self) -> list[ServerReading]:
        """Ask all servers what they have done. Raises BufferUnavailable."""
        return [read_server(client) for client in self.clients]

    def unread(self) -> int:
        """Return how many transitions the learner has not read. Raises BufferUnavailable."""
        return sum(stats.unread for stats in self._stats())

    def trimmed_chunks(self) -> int:
        """Return how many chunks were dropped because they were read and old. Raises BufferUnavailable."""
        return sum(stats.trimmed_chunks for stats in self._stats())

    def chunks(self) -> Iterator[tuple[str, int]]:
        """Yield producer and sequence number of every chunk that the streams hold. Raises BufferUnavailable."""
        reader = self.services.reader(0)
        try:
            while found := reader.read(self.game, _READ_CHUNKS):
                yield from ((stored.producer_id, stored.sequence) for stored in found)
        finally:
            reader.close()

    def _stats(self) -> Iterator[GameStats]:
        address = self.services.address
        for server, shards in address.shards_by_server(self.game).items():
            yield game_stats(self.clients[server], address.run, self.game, shards=shards)


@contextmanager
def servers_of(buffer: str | None, count: int, game: str) -> Generator[Servers]:
    """Start private servers, or take the first ones of the user's; at the end they are gone, or what was written there.

    Raises:
        RunError: if one does not start.
        ConfigError, BufferUnavailable: if one of the user's cannot be used.
    """
    run = f"scale-{secrets.token_hex(4)}"
    settings = BufferConfig()
    limits = Limits(settings.capacity, settings.backlog, shards=count)
    with ExitStack() as stack:
        if buffer is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distill-scale-")))
            private = [stack.enter_context(PrivateRedis(folder / str(number))) for number in range(count)]
            urls = tuple(server.url for server in private)
        else:
            urls = split_urls(buffer)[:count]
        clients = tuple(stack.enter_context(connect(url)) for url in urls)
        address = BufferAddress(",".join(urls), run, (game,), limits, secrets.token_hex(8))
        if buffer is not None:
            for client in clients:
                require_server(client)
            stack.callback(_forget, clients, run)
        yield Servers(RedisServices(address, None), game, clients)


def _forget(clients: tuple[redis.Redis, ...], run: str) -> None:
    for client in clients:
        try:
            delete_run(client, run)
        except BufferUnavailable as error:
            log.warning("%s; `distill runs --delete %s` removes what is left there", error, run)
