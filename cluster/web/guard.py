"""Keeps other sites in a browser out: who may be asked for by which name, and what browsers may do with an answer."""

import ipaddress
import logging
import socket
from collections.abc import Mapping

from aiohttp import web

log = logging.getLogger(__name__)

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


class Guard:
    """Refuses requests that a browser makes for another site.

    A name that an attacker points at this machine arrives as the Host of a request from a browser here. An address is
    no such name. So a server on loopback answers to names and addresses of loopback alone, and any other server to all
    addresses, to its machine's host name, and to the name that it was told to listen on.

    Args:
        what: is guarded, for the log.
        host: the address or name that the server listens on.
        any_name: whether names do not matter, since clients have to give a secret.
    """

    def __init__(self, what: str, host: str, *, any_name: bool = False) -> None:
        self._what = what
        self._loopback = is_loopback(host)
        self._names = {host.lower(), socket.gethostname().lower()}
        self._any_name = any_name
        self._told = False

    def check(self, headers: Mapping[str, str]) -> None:
        """Find out whether a request is welcome.

        Raises:
            HTTPException: the answer, if it is not.
        """
        name = _host_name(headers.get("Host", ""))
        if not (self._any_name or is_loopback(name) or (not self._loopback and self._answers_to(name))):
            self._tell(name)
            text = "This server answers to localhost only." if self._loopback else "This server has another name."
            raise web.HTTPMisdirectedRequest(text=text)
        # Other sites may link here. They could not read what they ask for, but they could keep the server at work.
        site, mode = headers.get("Sec-Fetch-Site", "none"), headers.get("Sec-Fetch-Mode")
        if site not in ("same-origin", "none") and mode != "navigate":
            raise web.HTTPForbidden(text="Another site asked for this.")

    def _answers_to(self, name: str) -> bool:
        return name.lower() in self._names or _is_address(name)

    def _tell(self, name: str) -> None:
        """Log the first refusal, for whoever asks by a name that he thinks is right."""
        if not self._told:
            self._told = True
            names = "loopback" if self._loopback else " and ".join(["addresses", *sorted(self._names)])
            log.warning("%s: refused a request for %.100r; it answers to %s", self._what, name, names)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host_name(header: str) -> str:
    """Return the name in a Host header, without port and brackets; ports differ behind a tunnel."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]
