"""Sends the frames of all games to whoever watches, as server-sent events."""

import asyncio

from aiohttp import web

from cluster.watch.connections import Connection
from cluster.watch.stage import Stage

MOST_STREAMS = 4
"""Clients that may have the games played; each gets the same frames."""
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

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Send frames until the client leaves or the stage closes; a client that is slow misses some."""
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if request.method == "HEAD":
            return stream
        if self._places.locked():
            raise web.HTTPServiceUnavailable(text=f"{MOST_STREAMS} clients watch already.")
        connection = request.protocol
        assert isinstance(connection, Connection), "the server makes no others"
        async with self._places:
            connection.streaming = True
            try:
                await stream.prepare(request)
                with self._stage.watch() as viewer:
                    while not self._stage.closed:
                        frames = await viewer.next(HEARTBEAT_SECONDS)
                        await stream.write("".join(f"data: {frame}\n\n" for frame in frames).encode() or b":\n\n")
            finally:
                connection.streaming = False
        return stream
