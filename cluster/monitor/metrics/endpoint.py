"""Serves metrics at `/metrics` to Prometheus, without holding up the run whose process it works in."""

import asyncio
import time

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.registry import Collector

from cluster.web.application import application
from cluster.web.guard import Guard
from cluster.web.server import HttpServer

MOST_SHARE = 0.1
"""Share of one core that scrapes may take; with too many of them they wait for each other instead."""


def metrics_server(metrics: Collector, host: str, port: int) -> HttpServer:
    """Return a server of the metrics, which listens already.

    Raises:
        RunError: if the address cannot be listened on.
    """
    app = application(Guard("metrics", host).check, [web.get("/metrics", Scrapes(metrics).answer)])
    return HttpServer("metrics", app, host, port)


class Scrapes:
    """Answers scrapes one after the other, each with what is known when its turn has come.

    Args:
        metrics: what is scraped.
    """

    def __init__(self, metrics: Collector) -> None:
        # Packed it would need another thread, and pays for no network that machines learn over.
        self._answer = make_aiohttp_handler(metrics, disable_compression=True)
        self._turn = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with all metrics in the format that the client accepts."""
        await self._turn.acquire()
        began = time.thread_time()
        try:
            return await self._answer(request)
        finally:
            pause = (time.thread_time() - began) * (1.0 / MOST_SHARE - 1.0)
            asyncio.get_running_loop().call_later(pause, self._turn.release)
