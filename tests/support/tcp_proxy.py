"""A TCP proxy in front of a server, which can be cut off, slowed down, and made to reset its connections."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

Direction = Literal["up", "down"]
"""To the server, or from it."""

_BLOCK = 2**16
_POLL_SECONDS = 0.01


class TcpProxy:
    """Listens on a port of this machine and passes bytes on, from a thread of its own.

    A cut loses no bytes that were sent: they wait, as TCP would send them again, and arrive once it is mended, if both
    ends still hold the connection. New connections are taken, and hear nothing.

    Args:
        target: returns where the server listens: a unix socket's path. It is asked for every connection.
        seed: of the resets.

    Attributes:
        port: that it listens on.
        cut: directions in which nothing is passed on.
        delay: seconds that every block waits, in both directions.
        reset_share: probability that a block is lost together with its connection.
    """

    def __init__(self, target: Callable[[], Path], seed: int = 0) -> None:
        self._target = target
        self._random = random.Random(seed)
        self.cut: frozenset[Direction] = frozenset()
        self.delay = 0.0
        self.reset_share = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """The address as a Redis URL."""
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening and drop all connections."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10.0)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever drops the connection resets it, as a machine does that is gone.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError, asyncio.CancelledError):
            try:
                far_reader, far_writer = await asyncio.open_unix_connection(str(self._target()))
            except OSError:
                writer.transport.abort()
                return
            pumps = (self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down"))
            try:
                await asyncio.wait([asyncio.ensure_future(p) for p in pumps], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in (writer, far_writer):
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        with suppress(OSError):
            while block := await reader.read(_BLOCK):
                while direction in self.cut:
                    await asyncio.sleep(_POLL_SECONDS)
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self._random.random() < self.reset_share:
                    return
                writer.write(block)
                await writer.drain()
