"""Who may read the page: anybody on this machine, or whoever has the token."""

import base64
import binascii
import hmac
import ipaddress
from email.message import Message
from http import HTTPStatus

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
        self._loopback = is_loopback(host)
        self._token = None if token is None else token.encode()
        if token is None and not self._loopback:
            raise ConfigError(f"host: {host} can be reached from other machines, so a token is required; give one")
        if token is not None and len(token) < LEAST_TOKEN:
            raise ConfigError(f"token: expected at least {LEAST_TOKEN} characters, found {len(token)}")

    def refusal(self, headers: Message) -> tuple[HTTPStatus, str] | None:
        """Return why a request is refused, or None if it is welcome."""
        # A name that an attacker points at 127.0.0.1 arrives as the Host of a request from the victim's own browser.
        if self._loopback and not is_loopback(_host_name(headers.get("Host", ""))):
            return HTTPStatus.MISDIRECTED_REQUEST, "This server answers to localhost only."
        # Other sites may link here. They could not read what they ask for, but they could keep the games playing.
        site, mode = headers.get("Sec-Fetch-Site", "none"), headers.get("Sec-Fetch-Mode")
        if site not in ("same-origin", "none") and mode != "navigate":
            return HTTPStatus.FORBIDDEN, "Another site asked for this."
        if self._token is not None and not hmac.compare_digest(_secret(headers.get("Authorization", "")), self._token):
            return HTTPStatus.UNAUTHORIZED, "The token is missing or wrong: give it as the password, any user name."
        return None


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
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.encode()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
        case _:
            return b""
