"""Serves HTTP from an event loop in a thread of its own, whatever clients do, until it is closed."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from cluster.web.connections import Connections
from distill.errors import RunError

log = logging.getLogger(__name__)

SEND_BYTES = 2**17
"""What the system may hold for a client; with more, a slow viewer would see what is long over."""
ACCEPTED_AT_ONCE = 32
"""Connections that have a file descriptor before the first of them is counted."""
WAITING = 1024
"""Connections that the system holds meanwhile; those of a client that opens hundreds must not keep others out."""
STOP_SECONDS = 1.0
"""Answers on their way are given that long at the end, and that long again to give up."""
_END_SECONDS = 10.0
"""Whoever closes a server waits no longer than that; its thread is a daemon."""


class HttpServer:
    """Listens from the beginning, and answers as long as its context lasts.

    However many clients there are, they cost one thread, and no more file descriptors and memory than `Connections`
    lets them.

    Args:
        what: is served, for messages and as the thread's name.
        app: that answers.
        host: address or name to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        RunError: if the address cannot be listened on.
    """

    def __init__(self, what: str, app: web.Application, host: str, port: int) -> None:
        self._what = what
        # A client that went away shows by a failed write or a closed connection; either ends its answer.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=STOP_SECONDS)
        self._socket = listen(what, host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=what, daemon=True)

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._stop())
        except TimeoutError:
            log.warning("%s: the server did not end within %g s, and is left alone", self._what, _END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_END_SECONDS)

    async def _start(self) -> None:
        await self._runner.setup()
        assert self._runner.server is not None, "setup makes it"
        self._listener = await self._loop.create_server(
            Connections(self._runner.server), sock=self._socket, backlog=ACCEPTED_AT_ONCE
        )
        self._socket.listen(WAITING)

    async def _stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()
        await self._loop.shutdown_default_executor()


def listen(what: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens; on all addresses of IPv6 it takes clients of IPv4 as well.

    Args:
        what: is to be served, for the message.
        host: address or name.
        port: 0 takes a free one.

    Raises:
        RunError: if it cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=both)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{what}: expected to listen on {host or repr(host)}, port {port}, found: {_reason(error)};"
            " choose another port, or 0 for a free one, or another address"
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return listener


def _reason(error: OSError | ValueError) -> str:
    """Return what went wrong, without the address, which `create_server` adds."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    # A name that can be no host's is a ValueError.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
