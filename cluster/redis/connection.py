"""Connections to the buffer service: bounded in time, and with errors that name the server but not its password."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, ReadOnlyError, ResponseError
from redis.retry import Retry

from cluster.redis import credentials
from cluster.redis.credentials import credentials_from
from cluster.redis.scripts import load_scripts
from cluster.redis.typed_redis import AsyncCommands, typed
from distill.errors import BufferUnavailable, ConfigError

LEAST_VERSION = (6, 2)
"""XTRIM MINID and exclusive ranges came with Redis 6.2."""
_KEEPING = "noeviction"
"""Our keys never expire, but somebody else's may; and a server at its limit should say so."""


class _Clients(Protocol):
    """The class `redis.Redis`, which gives the settings in `from_url` no types."""

    def from_url(self, url: str, **settings: Any) -> redis.Redis: ...


class _AsyncClients(Protocol):
    """The class `redis.asyncio.Redis`, likewise."""

    def from_url(self, url: str, **settings: Any) -> AsyncCommands: ...


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
    with _usable():
        # Writers and readers have back-offs of their own; a second one inside would multiply the waiting.
        return cast(_Clients, redis.Redis).from_url(url, **_settings_for(url, timeout), retry=Retry(NoBackoff(), 0))


def connect_asyncio(url: str, *, timeout: float = 5.0) -> AsyncCommands:
    """Make a client for asyncio that has one connection; see `connect`."""
    with _usable():
        return cast(_AsyncClients, redis.asyncio.Redis).from_url(
            url, **_settings_for(url, timeout), retry=AsyncRetry(NoBackoff(), 0), single_connection_client=True
        )


@contextmanager
def _usable() -> Generator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"buffer URL: expected redis://, rediss:// or unix://, found one that is unusable: {error}"
        ) from None


def _settings_for(url: str, timeout: float) -> dict[str, Any]:
    # Parsing the older protocol takes half the time.
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}
    return _credentials_for(url) | limits


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
    settings = typed(client).get_connection_kwargs()
    if "path" in settings:
        return f"unix://{settings['path']}"
    scheme = "rediss" if issubclass(client.connection_pool.connection_class, redis.SSLConnection) else "redis"
    return f"{scheme}://{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db', 0)}"


@contextmanager
def reaching(client: redis.Redis, action: str) -> Generator[None]:
    """Turn what Redis raises into BufferUnavailable.

    The next command connects anew: after a failover the same name leads to another server, while an old connection
    would end at one that refuses writes for ever.

    Args:
        client: whose server is to be named.
        action: what is being done, as in "cannot <action>".
    """
    try:
        yield
    except (redis.RedisError, OSError) as error:
        client.connection_pool.disconnect(inuse_connections=False)
        raise BufferUnavailable(
            f"buffer service at {describe(client)}: cannot {action}: {reason(error)}; {_advice(error)}"
        ) from error


def reason(error: Exception) -> str:
    """Return what an error says, without the words of the command that redis-py may put before it: a model's bytes."""
    return str(error).rpartition(" of pipeline caused error: ")[2]


def _advice(error: Exception) -> str:
    """Return what to do about an error of Redis or of the connection."""
    text = str(error).lower()
    return next(advice for kind, words, advice in _ADVICE if isinstance(error, kind) and words in text)


_RIGHTS = "its user may not do this; `python -m cluster.redis.acl` prints the rights that each role needs"
_ADVICE: tuple[tuple[type[Exception], str, str], ...] = (
    (
        AuthenticationError,
        "",
        f"check user name and password: {credentials.USERNAME} and {credentials.PASSWORD_FILE} in this process",
    ),
    (NoPermissionError, "", _RIGHTS),
    # What a script may not do, Redis refuses with an error of the script.
    (Exception, "user executing the script", _RIGHTS),
    (BusyLoadingError, "", "it still reads its data; try again when it has"),
    (ReadOnlyError, "", "it is a replica; name its primary"),
    (ResponseError, "misconf", "it cannot write its own files; make room on its disk"),
    (ResponseError, "noreplicas", "it waits for its replicas; start them, or lower its min-replicas-to-write"),
    (ResponseError, "db index", "take a smaller database number in the URL, or raise its `databases`"),
    (ResponseError, "unknown command", "name a Redis that has all commands"),
    (Exception, "certificate", f"check that {credentials.CA_FILE} names the CA that has signed its certificate"),
    (Exception, "", "check that the server runs, that this machine reaches it, and whether it wants TLS (rediss://)"),
)
"""What to do: by the kind of an error and words of it, the first that fits."""


def require_server(client: redis.Redis) -> None:
    """Check that a server can serve a run, and make it know our scripts.

    Raises:
        BufferUnavailable: if it does not answer, or still loads its data.
        ConfigError: if it is no primary on its own, older than Redis 6.2, or may throw away what is not read.
    """
    info = _require_primary(client)
    policy = info.get("maxmemory_policy", _KEEPING)
    if policy != _KEEPING:
        raise ConfigError(
            f"buffer service at {describe(client)}: expected maxmemory-policy {_KEEPING}, found {policy}, which may"
            f" throw away unread chunks and models; `CONFIG SET maxmemory-policy {_KEEPING}` there, and in its"
            " redis.conf so that it lasts"
        )
    with reaching(client, "load scripts"):
        load_scripts(client)


def require_primary(client: redis.Redis) -> None:
    """Check that a server keeps data and takes writes.

    Raises:
        BufferUnavailable: if it does not answer, or still loads its data.
        ConfigError: if it is a replica, a Sentinel, a node of a Redis Cluster, or older than Redis 6.2.
    """
    _require_primary(client)


def _require_primary(client: redis.Redis) -> dict[str, Any]:
    """Check what `require_primary` does, and return what the server says of itself."""
    with reaching(client, "use it"):
        # INFO says it all; CONFIG GET would need a right that the role of a run does not have.
        info = typed(client).info()
    mode = info.get("redis_mode", info.get("server_mode"))
    version = re.match(r"(\d+)\.(\d+)", str(info.get("redis_version", "")))
    least = ".".join(map(str, LEAST_VERSION))
    expected, found = "", ""
    if mode == "sentinel":
        expected = "a Redis that keeps data"
        found = "a Sentinel, which only watches others; name the primary that it watches"
    elif mode == "cluster" or info.get("cluster_enabled"):
        expected = "a Redis on its own"
        found = "a node of a Redis Cluster, which keeps only a part of the keys; start one with `cluster-enabled no`"
    elif version is None or tuple(map(int, version.groups())) < LEAST_VERSION:
        expected = f"Redis {least} or newer"
        found = f"{info.get('redis_version', 'a server that does not say its version')}; install a newer one"
    elif info.get("role", "master") != "master":
        expected = "a primary"
        found = (
            f"a replica, which takes no writes; name its primary, {info.get('master_host')}:{info.get('master_port')}"
        )
    if expected:
        raise ConfigError(f"buffer service at {describe(client)}: expected {expected}, found {found}")
    if info.get("loading"):
        left = info.get("loading_eta_seconds", "some")
        raise BufferUnavailable(
            f"buffer service at {describe(client)}: it still reads its data, {left} seconds are left; try again then"
        )
    return info
