"""Who may read the page, anybody on this machine or whoever has the token, and what browsers may do with it."""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import cast

from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler

from distill.errors import ConfigError

LEAST_TOKEN = 16
"""Characters; shorter ones can be guessed."""
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "distill",
}
"""In the head of every answer; the last one keeps versions to ourselves."""


class Access:
    """Decides on requests by their headers.

    Args:
        host: the address that the server is bound to.
        token: the password of HTTP Basic authentication, or a bearer token; required unless `host` is loopback.

    Raises:
        ConfigError: if a token is missing or short.
    """

    def __init__(self, host: str, token: str | None) -> None:
        self._loopback = is_loopback(host)
        self._token = None if token is None else token.encode()
        if token is None and not self._loopback:
            raise ConfigError(f"host: {host} can be reached from other machines, so a token is required; give one")
        if token is not None and len(token) < LEAST_TOKEN:
            raise ConfigError(f"token: expected at least {LEAST_TOKEN} characters, found {len(token)}")

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass on requests that are welcome; whether a path exists is not told to others."""
        self.check(request.headers)
        return await handler(request)

    def check(self, headers: Mapping[str, str]) -> None:
        """Find out whether a request is welcome.

        Raises:
            HTTPException: the answer, if it is not.
        """
        # A name that an attacker points at 127.0.0.1 arrives as the Host of a request from the victim's own browser.
        if self._loopback and not is_loopback(_host_name(headers.get("Host", ""))):
            raise web.HTTPMisdirectedRequest(text="This server answers to localhost only.")
        # Other sites may link here. They could not read what they ask for, but they could keep the games playing.
        site, mode = headers.get("Sec-Fetch-Site", "none"), headers.get("Sec-Fetch-Mode")
        if site not in ("same-origin", "none") and mode != "navigate":
            raise web.HTTPForbidden(text="Another site asked for this.")
        if self._token is not None and not hmac.compare_digest(_secret(headers.get("Authorization", "")), self._token):
            raise web.HTTPUnauthorized(
                text="The token is missing or wrong: give it as the password, any user name.",
                headers={"WWW-Authenticate": 'Basic realm="distill watch"'},
            )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str:
    """Return the name in a Host header, without port and brackets; ports differ behind a tunnel."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]


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
