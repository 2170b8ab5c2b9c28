"""Where a user's own Redis is, as the setting `--buffer` says it: one URL, or several separated by commas."""

import re
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator

from distill.errors import ConfigError
from distill.words import shown

_URL = re.compile(r"^(redis|rediss|unix)://")
_DATABASE = "db"
_PORT = 6379


def split_urls(urls: str) -> tuple[str, ...]:
    """Return the URLs of the servers; the first one keeps the models as well."""
    return tuple(urls.split(","))


def _without_password(urls: Any) -> Any:
    """Refuse a URL with a password, and do not repeat it: this setting is shown, logged and stored."""
    if isinstance(urls, str) and re.search(r"://[^,]*:[^,]*@|[?&]password=", urls):
        raise ConfigError(
            "buffer: expected a URL without a password, found one with it; take it out and set DISTILL_REDIS_USERNAME"
            " and DISTILL_REDIS_PASSWORD_FILE (or DISTILL_REDIS_PASSWORD) in the environment of every process that"
            " connects"
        )
    return urls


def _usable_urls(urls: str) -> str:
    """Return the URLs without spaces around them, if all can be used and name different servers."""
    servers = [server.strip() for server in urls.split(",")]
    if len({_require_usable(server) for server in servers}) < len(servers):
        raise ConfigError(f"buffer: each server once, found {urls}")
    return ",".join(servers)


def _require_usable(url: str) -> tuple[object, ...]:
    """Return what a URL names; what it holds in a wrong place is not repeated, as it may be a password."""
    if not _URL.match(url):
        raise ConfigError(
            f"buffer: expected redis://HOST:PORT, rediss://HOST:PORT or unix://PATH, or several of them separated"
            f" by commas, found {shown(url)}"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigError(
            "buffer: expected a URL such as redis://HOST:PORT/DB with a port from 1 to 65535, found one that cannot be"
            " read as such"
        ) from None
    if others := sorted({name for name, _ in parameters} - {_DATABASE}):
        raise ConfigError(
            f"buffer: expected no parameters in a URL but ?{_DATABASE}=NUMBER, found {', '.join(map(shown, others))};"
            " user, password and CA come from the environment (DISTILL_REDIS_USERNAME, DISTILL_REDIS_PASSWORD_FILE,"
            " DISTILL_REDIS_CA_FILE), and rediss:// asks for TLS"
        )
    is_socket = parts.scheme == "unix"
    databases = [value for _, value in parameters] + ([] if is_socket else [parts.path.strip("/")] * (parts.path > "/"))
    if len(databases) > 1 or not all(re.fullmatch("[0-9]{1,5}", database) for database in databases):
        raise ConfigError("buffer: expected at most one database in a URL, a number as in redis://HOST:PORT/0")
    if parts.fragment or port == 0 or (is_socket and (parts.hostname or len(parts.path) < 2)):
        raise ConfigError(
            f"buffer: expected {'unix:///PATH' if is_socket else 'redis://HOST:PORT/DB'}, found {shown(url)}"
        )
    place = (parts.path,) if is_socket else (parts.hostname or "localhost", port or _PORT)
    return (*place, int(databases[0]) if databases else 0)


BufferUrls = Annotated[str, BeforeValidator(_without_password), AfterValidator(_usable_urls)]
