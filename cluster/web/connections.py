"""Bounds what clients can hold of a server: connections, time, and memory for what they do not take."""

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import chain
from typing import Self, cast

from aiohttp import web

from cluster.web.guard import SECURITY

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
HEAD_SECONDS = 10.0
"""A request's head must be there within this time; a connection that waits for its next request ends after it."""
SEND_SECONDS = 10.0
"""What is on its way to a client must be taken within this time."""


class Connections:
    """Makes a server's connections; an old one gives way to one that is too many.

    That is the oldest for which nothing is being done, so that whoever waits for an answer gets it, however many others
    come and say nothing. A stream never gives way: `Streams` counts them.

    Args:
        server: that answers their requests.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._open: dict[Connection, None] = {}
        self._dropped = 0

    def __call__(self) -> "Connection":
        """Return a connection that is not yet made, as event loops ask for."""
        return Connection(self, self._server)

    def opened(self, connection: "Connection") -> None:
        """Count a connection in, and make room for it."""
        self._open[connection] = None
        if len(self._open) > MOST_CONNECTIONS:
            idle = (one for one in self._open if not one.busy)
            others = (one for one in self._open if not one.streaming)
            self.drop(next(chain(idle, others)), "it gives way to newer ones")

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""
        self._open.pop(connection, None)

    def drop(self, connection: "Connection", why: str) -> None:
        """End a connection now, whatever is on its way."""
        self.closed(connection)
        self._dropped += 1
        log.debug("dropped %s: %s (%d so far)", connection.client.get_extra_info("peername"), why, self._dropped)
        connection.client.abort()


class Connection(web.RequestHandler):
    """A client's connection, which may neither be silent nor slow for long.

    Args:
        connections: those of its server.
        server: that answers its requests.

    Attributes:
        client: the way to it.
        busy: whether a request of it is being answered.
        streaming: whether that is a stream.
    """

    client: asyncio.Transport

    def __init__(self, connections: Connections, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=HEAD_SECONDS,
            # Nothing here reads a request's body, so none is waited for.
            lingering_time=0.0,
            access_log=None,  # pyright: ignore[reportArgumentType] - documented to mean that there is none
        )
        self.busy = False
        self.streaming = False
        self._connections = connections
        self._slow: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """Return the connection by which a request came."""
        assert isinstance(request.protocol, cls), "the server makes no others"
        return request.protocol

    @property
    def slow_seconds(self) -> float:
        """How long the client has not taken what is there for it; 0 if it has taken everything."""
        return 0.0 if self._slow is None else SEND_SECONDS - (self._slow.when() - asyncio.get_running_loop().time())

    def drop(self, why: str) -> None:
        """End now, whatever is on its way."""
        self._connections.drop(self, why)

    @contextmanager
    def answering(self) -> Generator[None]:
        """Be busy meanwhile."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.client = cast(asyncio.Transport, transport)
        # From the first byte on that the system has no room for, writing is paused, and the client is slow.
        self.client.set_write_buffer_limits(high=0)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._in_time()
        self._connections.closed(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a slow client, but not for long."""
        super().pause_writing()
        why = f"it did not take its answer within {SEND_SECONDS:g} s"
        self._slow = asyncio.get_running_loop().call_later(SEND_SECONDS, self.drop, why)

    def resume_writing(self) -> None:
        """Go on: the client has taken everything."""
        self._in_time()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that is no HTTP, or that failed here; nothing of it is repeated, as it may hold a token."""
        del message
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request could not be answered", exc_info=exc)
        else:
            log.debug('%s sent what is no request: "HTTP" %d', request.remote, status)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        answer = web.Response(status=status, text=HTTPStatus(status).phrase, headers=SECURITY)
        answer.force_close()
        return answer

    def _in_time(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
