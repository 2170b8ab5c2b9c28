"""Requests to our HTTP servers over real connections, well-formed ones and others."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

SECONDS = 30.0


class Server(Protocol):
    """What is asked."""

    @property
    def address(self) -> str:
        """`host:port`, or a URL of it."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send one request; `Host` and others can be given by name, with _ for -."""
    connection = connection_to(server)
    try:
        connection.request(method, path, headers=named(headers))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


def send(server: Server, data: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server hangs up."""
    with connect(server) as client:
        client.sendall(data)
        parts: list[bytes] = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def connect(server: Server) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(_place(server), SECONDS)


def connection_to(server: Server) -> http.client.HTTPConnection:
    """Return a connection that opens with its first request."""
    return http.client.HTTPConnection(*_place(server), timeout=SECONDS)


def named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their own names."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _place(server: Server) -> tuple[str, int]:
    parts = urlsplit("//" + server.address.removeprefix("http://"))
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port
