"""What the live page's server answers: the page's files, the run's data, and the stream. Nothing can be changed."""

import asyncio
import json
from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

from cluster.watch.access import Access
from cluster.watch.stage import Stage
from cluster.watch.state import StateReader
from cluster.watch.streams import Streams
from cluster.web.application import application
from distill.errors import DistillError

PAGES = {
    "/": ("index.html", "text/html"),
    "/watch.css": ("watch.css", "text/css"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("theme", "page", "facts", "games", "cards", "live", "chart", "dom")
    },
}
"""Every path that is served from a file; a path is looked up here and never joined to a folder."""


def page(access: Access, state: StateReader, stage: Stage) -> web.Application:
    """Return what answers requests for a run's page."""

    async def close_stage(_: web.Application) -> None:
        await stage.close()

    app = application(
        access.check,
        [
            *(web.get(path, _file(name, kind)) for path, (name, kind) in PAGES.items()),
            web.get("/state", _data(state)),
            web.get("/live", Streams(stage).live),
        ],
    )
    app.on_shutdown.append(close_stage)
    return app


def _file(name: str, kind: str) -> Handler:
    body = resources.files("cluster.watch").joinpath("page", name).read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer


def _data(state: StateReader) -> Handler:
    def encoded() -> bytes:
        return json.dumps(state.document(), separators=(",", ":"), allow_nan=False).encode()

    async def answer(_: web.Request) -> web.Response:
        try:
            body = await asyncio.to_thread(encoded)
        except (DistillError, OSError) as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(body=body, content_type="application/json")

    return answer
