"""Sends the frames of all games to whoever watches, as server-sent events."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aiohttp import web

from cluster.watch.stage import Stage
from cluster.web.connections import Connection

MOST_STREAMS = 4
"""Clients that may have the games played; each gets the same frames."""
SLOW_SECONDS = 1.0
"""A client that has not taken its frames for that long loses its place to a new one."""
HEARTBEAT_SECONDS = 5.0
"""A stream without a frame for that long gets an empty line, which shows whether its client is still there."""


class Streams:
    """Answers requests for the stream.

    Args:
        stage: where the games are played.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._places = asyncio.Semaphore(MOST_STREAMS)
        self._open: set[Connection] = set()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Send frames until the client leaves or the stage closes; a client that is slow misses some."""
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if request.method == "HEAD":
            return stream
        if self._places.locked() and not self._drop_a_slow_one():
            raise web.HTTPServiceUnavailable(text=f"{MOST_STREAMS} clients watch already.")
        connection = Connection.of(request)
        async with self._places:
            with self._open_on(connection):
                await stream.prepare(request)
                with self._stage.watch() as viewer:
                    while not self._stage.closed:
                        frames = await viewer.next(HEARTBEAT_SECONDS)
                        await stream.write("".join(f"data: {frame}\n\n" for frame in frames).encode() or b":\n\n")
        return stream

    def _drop_a_slow_one(self) -> bool:
        """End the slowest stream, if it is too slow, so that its place is free in a moment."""
        slowest = max(self._open, key=lambda one: one.slow_seconds, default=None)
        if slowest is None or slowest.slow_seconds < SLOW_SECONDS:
            return False
        self._open.remove(slowest)
        slowest.drop("its place goes to a client that is not slow")
        return True

    @contextmanager
    def _open_on(self, connection: Connection) -> Generator[None]:
        self._open.add(connection)
        connection.streaming = True
        try:
            yield
        finally:
            connection.streaming = False
            self._open.discard(connection)
