"""What the live page's server answers: the page's files, the run's data, and the stream. Nothing can be changed."""

import asyncio
import json
import logging
from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

from cluster.watch.access import SECURITY, Access
from cluster.watch.stage import Stage
from cluster.watch.state import StateReader
from cluster.watch.streams import Streams
from distill.errors import DistillError

log = logging.getLogger(__name__)

PAGES = {
    "/": ("index.html", "text/html"),
    "/watch.css": ("watch.css", "text/css"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("theme", "page", "facts", "games", "cards", "live", "chart", "dom")
    },
}
"""Every path that is served from a file; a path is looked up here and never joined to a folder."""


def application(access: Access, state: StateReader, stage: Stage) -> web.Application:
    """Return what answers requests for a run's page."""

    async def close_stage(_: web.Application) -> None:
        await stage.close()

    app = web.Application(middlewares=[access.guard])
    app.on_response_prepare.append(_complete)
    app.on_shutdown.append(close_stage)
    app.add_routes(
        [
            *(web.get(path, _file(name, kind)) for path, (name, kind) in PAGES.items()),
            web.get("/state", _data(state)),
            web.get("/live", Streams(stage).live),
            web.get("/{path:.*}", _missing),
        ]
    )
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


async def _missing(_: web.Request) -> web.Response:
    raise web.HTTPNotFound(text="There is no such page.")


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the rules for browsers; log requests only on demand, and never headers and so tokens."""
    response.headers.update(SECURITY)
    log.debug(
        '%s "%s %s HTTP/%d.%d" %d', request.remote, request.method, request.raw_path, *request.version, response.status
    )
