"""Who may read the page: anybody on this machine, or whoever has the token."""

import hmac
from collections.abc import Mapping
from typing import cast

from aiohttp import BasicAuth, web

from cluster.web.guard import Guard, is_loopback
from distill.errors import ConfigError

LEAST_TOKEN = 16
"""Characters; shorter ones can be guessed."""


class Access:
    """Decides on requests by their headers.

    Args:
        host: the address that the server is bound to.
        token: the password of HTTP Basic authentication, or a bearer token; required unless `host` is loopback.

    Raises:
        ConfigError: if a token is missing or short.
    """

    def __init__(self, host: str, token: str | None) -> None:
        loopback = is_loopback(host)
        self._token = None if token is None else token.encode()
        # Elsewhere there is a token, which no other site knows.
        self._guard = Guard("watch", host, any_name=not loopback)
        if token is None and not loopback:
            raise ConfigError(f"host: {host} can be reached from other machines, so a token is required; give one")
        if token is not None and len(token) < LEAST_TOKEN:
            raise ConfigError(f"token: expected at least {LEAST_TOKEN} characters, found {len(token)}")

    def check(self, headers: Mapping[str, str]) -> None:
        """Find out whether a request is welcome.

        Raises:
            HTTPException: the answer, if it is not.
        """
        self._guard.check(headers)
        if self._token is not None and not hmac.compare_digest(_secret(headers.get("Authorization", "")), self._token):
            raise web.HTTPUnauthorized(
                text="The token is missing or wrong: give it as the password, any user name.",
                headers={"WWW-Authenticate": 'Basic realm="distill watch"'},
            )


def _secret(authorization: str) -> bytes:
    """Return the token of an Authorization header, empty if there is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        try:
            _, token, _ = cast(tuple[str, str, str], BasicAuth.decode(authorization, encoding="utf-8"))
        except ValueError:
            token = ""
    # Bytes that are no UTF-8 arrive as lone surrogates, which a plain `encode` refuses.
    return token.encode(errors="surrogateescape")
