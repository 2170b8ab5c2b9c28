"""What the tests of the live page share: requests over real connections, and frames of a stream."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cluster.watch.server import WatchServer

SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(server: WatchServer, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send one request; `Host` and others can be given by name, with _ for -."""
    connection = _connect(server)
    try:
        connection.request(method, path, headers=_named(headers))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


def send(server: WatchServer, data: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server hangs up."""
    with connect(server) as client:
        client.sendall(data)
        parts: list[bytes] = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def connect(server: WatchServer) -> socket.socket:
    """Open a connection."""
    parts = urlsplit(server.address)
    return socket.create_connection((parts.hostname, parts.port), SECONDS)


@contextlib.contextmanager
def frames(server: WatchServer, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Open the stream and give its frames."""
    connection = _connect(server)
    try:
        connection.request("GET", "/live", headers=_named(headers))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        with answer:
            yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))
    finally:
        connection.close()


def _connect(server: WatchServer) -> http.client.HTTPConnection:
    parts = urlsplit(server.address)
    assert parts.hostname is not None
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
