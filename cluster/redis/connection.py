"""Connections to the buffer service: bounded in time, and with errors that name the server but not its password."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from cluster.redis import credentials
from cluster.redis.credentials import credentials_from
from cluster.redis.scripts import load_scripts
from distill.errors import BufferUnavailable, ConfigError

LEAST_VERSION = (6, 2)
"""XTRIM MINID and exclusive ranges came with Redis 6.2."""


def connect(url: str, *, timeout: float = 5.0) -> redis.Redis:
    """Make a client, which connects at its first command and again after an error.

    User name, password and CA come from the environment (`credentials.py`) where the URL has none. A unix socket gets
    none of them: its file permissions guard it, and a run's private server knows no users.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout: seconds that connecting, sending or receiving may each take.

    Raises:
        ConfigError: if the URL is not one of these, or the environment's credentials cannot be used.
    """
    try:
        return redis.Redis.from_url(
            url,
            **_credentials_for(url),
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


def _credentials_for(url: str) -> dict[str, Any]:
    """Return what the environment adds to a URL, as arguments of `redis.Redis`."""
    scheme = urlsplit(url).scheme
    if scheme not in ("redis", "rediss"):
        return {}
    found = credentials_from()
    if scheme == "redis" and found.ca_file is not None:
        raise ConfigError(
            f"buffer URL: expected rediss://, since {credentials.CA_FILE} is set, found redis://, which sends the"
            " password in clear text; change the URL or unset the variable"
        )
    # What a URL itself says wins over these.
    login = {"username": found.username, "password": found.password}
    return login | ({"ssl_ca_certs": str(found.ca_file)} if found.ca_file else {})


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
            f"buffer service at {describe(client)}: cannot {action}: {error}; {_advice(error)}"
        ) from error


def _advice(error: Exception) -> str:
    """Return what to do about an error of Redis or of the connection."""
    if isinstance(error, AuthenticationError):
        return f"check user name and password: {credentials.USERNAME} and {credentials.PASSWORD_FILE} in this process"
    # What a script may not do, Redis refuses with an error of the script.
    if isinstance(error, NoPermissionError) or "user executing the script" in str(error):
        return "its user may not do this; `python -m cluster.redis.acl` prints the rights that each role needs"
    if "certificate" in str(error).lower():
        return f"check that {credentials.CA_FILE} names the CA that has signed the server's certificate"
    return "check that the server runs, that this machine reaches it, and whether it wants TLS (rediss://)"


def require_server(client: redis.Redis) -> None:
    """Check that the server answers and is recent enough, and make it know our scripts, so that a run can begin.

    Raises:
        BufferUnavailable: if it does not answer.
        ConfigError: if it is older than Redis 6.2.
    """
    with reaching(client, "use it"):
        version = str(client.info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise ConfigError(f"buffer service at {describe(client)}: expected Redis {least} or newer, found {version}")
    with reaching(client, "load scripts"):
        load_scripts(client)
