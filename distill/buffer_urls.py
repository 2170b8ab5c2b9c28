"""Where a user's own Redis is, as the setting `--buffer` says it: one URL, or several separated by commas."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from distill.errors import ConfigError

_URL = re.compile(r"^(redis|rediss|unix)://")


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


def _different_urls(urls: str) -> str:
    servers = split_urls(urls)
    for server in servers:
        if not _URL.match(server):
            raise ConfigError(
                f"buffer: expected redis://HOST:PORT, rediss://HOST:PORT or unix://PATH, or several of them separated"
                f" by commas, found {server!r}"
            )
    if len(set(servers)) < len(servers):
        raise ConfigError(f"buffer: each server once, found {urls}")
    return urls


BufferUrls = Annotated[str, BeforeValidator(_without_password), AfterValidator(_different_urls)]
