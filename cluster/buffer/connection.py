"""Connections to the buffer service: bounded in time, and with errors that name the server but not its password."""

from collections.abc import Generator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from distill.errors import BufferUnavailable, ConfigError

LEAST_VERSION = (6, 2)
"""XTRIM MINID and exclusive ranges came with Redis 6.2."""


def connect(url: str, *, timeout: float = 5.0) -> redis.Redis:
    """Make a client, which connects at its first command and again after an error.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout: seconds that connecting, sending or receiving may each take.

    Raises:
        ConfigError: if the URL is not one of these.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Writers and readers have back-offs of their own; a second one inside would multiply the waiting.
            retry=Retry(NoBackoff(), 0),
            # Parsing the older protocol takes half the time.
            protocol=2,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"buffer URL: expected redis://, rediss:// or unix://, found one that is unusable: {error}"
        ) from None


def describe(client: redis.Redis) -> str:
    """Return the server's address as a URL without user name and password."""
    settings = client.get_connection_kwargs()
    if "path" in settings:
        return f"unix://{settings['path']}"
    scheme = "rediss" if issubclass(client.connection_pool.connection_class, redis.SSLConnection) else "redis"
    return f"{scheme}://{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db', 0)}"


@contextmanager
def reaching(client: redis.Redis, action: str) -> Generator[None]:
    """Turn what Redis raises into BufferUnavailable.

    Args:
        client: whose server is to be named.
        action: what is being done, as in "cannot <action>".
    """
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise BufferUnavailable(
            f"buffer service at {describe(client)}: cannot {action}: {error};"
            " check that the server runs, that this machine reaches it, and its user name and password"
        ) from error


def require_server(client: redis.Redis) -> None:
    """Check that the server answers and is recent enough.

    Raises:
        BufferUnavailable: if it does not answer.
        ConfigError: if it is older than Redis 6.2.
    """
    with reaching(client, "use it"):
        version = str(client.info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise ConfigError(f"buffer service at {describe(client)}: expected Redis {least} or newer, found {version}")
