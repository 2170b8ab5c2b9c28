"""Serves the live page of a run over HTTP, from an event loop in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from cluster.watch.access import Access
from cluster.watch.cast import Cast
from cluster.watch.connections import Connections
from cluster.watch.match import begin_match
from cluster.watch.routes import application
from cluster.watch.stage import Stage
from cluster.watch.state import StateReader
from distill.errors import ConfigError

SEND_BYTES = 2**17
"""What the system may hold for a client; with more, a slow viewer would see what is long over."""
STOP_SECONDS = 1.0
"""Answers on their way are given that long at the end, and that long again to give up."""


class WatchServer:
    """Serves a run that is running or finished; use it as a context manager.

    The run is only read. Its games are played while somebody watches, in a thread of this process.

    Args:
        folder: the run's folder.
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        token: the password that clients must give; required unless `host` is this machine's own.

    Raises:
        DistillError: if there is no run, the token is missing, or the address cannot be used.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        access, state = Access(host, token), StateReader(folder)
        config, cast = state.config, Cast(state.folder, state.config)
        self._stage = Stage(state.games, lambda game: begin_match(game, cast, config))
        # A client that went away shows by a failed write or a closed connection; either ends its answer.
        self._runner = web.AppRunner(
            application(access, state, self._stage), handler_cancellation=True, shutdown_timeout=STOP_SECONDS
        )
        try:
            self._socket = _listen(host, port)
        except OSError as error:
            raise ConfigError(f"watch {host}:{port}: cannot listen there: {error.strerror}; choose another") from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="watch", daemon=True)

    @property
    def address(self) -> str:
        """The page's URL."""
        host, port = self._socket.getsockname()[:2]
        name = f"[{host}]" if self._socket.family == socket.AF_INET6 else host
        return f"http://{name}:{port}/"

    @property
    def playing(self) -> bool:
        """Whether games are played now."""
        return self._stage.playing

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        await self._runner.setup()
        assert self._runner.server is not None, "setup makes it"
        self._listener = await self._loop.create_server(Connections(self._runner.server), sock=self._socket)

    async def _stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()
        await self._loop.shutdown_default_executor()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    listener = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return listener
