"""Commands of redis-py that it gives no types itself, with the types that they have here."""

from collections.abc import Iterator
from typing import Any, Protocol

from redis.client import Pipeline


class Commands(Protocol):
    """A client or pipeline as these commands see it."""

    def ping(self) -> object:
        """Ask whether the server answers."""
        ...

    def info(self, section: str | None = None) -> dict[str, Any]:
        """Return what the server says of itself."""
        ...

    def bgrewriteaof(self) -> object:
        """Begin to rewrite the append-only file."""
        ...

    def memory_usage(self, key: bytes) -> object:
        """Return, or queue to be returned, the bytes that a key takes."""
        ...

    def scan_iter(self, match: str, count: int) -> Iterator[bytes]:
        """Yield the keys that fit a pattern, about `count` a round trip."""
        ...

    def pipeline(self, transaction: bool) -> Pipeline:
        """Return a pipeline, whose commands are sent together."""
        ...

    def get_connection_kwargs(self) -> dict[str, Any]:
        """Return the settings of its connections."""
        ...


class AsyncCommands(Protocol):
    """A client of `redis.asyncio` as these commands see it."""

    async def ping(self) -> object:
        """Ask whether the server answers."""
        ...

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script that the server knows."""
        ...

    async def aclose(self) -> None:
        """Close its connection."""
        ...


def typed(client: Commands) -> Commands:
    """Return the client itself, for a call of one of these commands."""
    return client
