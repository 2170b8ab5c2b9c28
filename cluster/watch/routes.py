"""What the live page's server answers: the page's files, the run's data, and the stream. Nothing can be changed."""

import asyncio
import json
from collections.abc import Mapping
from importlib import resources
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from cluster.watch.access import Access
from cluster.watch.stage import Stage
from cluster.watch.streams import Streams
from cluster.web.application import application
from distill.errors import DistillError

Files = Mapping[str, tuple[str, str]]
"""File and media type of every path that is served from one; a path is looked up and never joined to a folder."""


def _files(start: str, *scripts: str) -> Files:
    return {
        "/": (start, "text/html"),
        "/watch.css": ("watch.css", "text/css"),
        **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in scripts},
    }


RUN = _files("index.html", "theme", "page", "facts", "games", "screens", "cards", "playback", "live", "chart", "dom")
"""The page of a run."""
MODELS = _files("play.html", "theme", "play", "screens", "playback", "live", "dom")
"""The page of models alone."""


class State(Protocol):
    """What a page shows beside its pictures."""

    def document(self) -> Mapping[str, object]:
        """Return it as JSON can hold it."""
        ...


def page(access: Access, files: Files, state: State, stage: Stage) -> web.Application:
    """Return what answers requests for a page.

    Args:
        access: who may look.
        files: of the page.
        state: what it shows beside its pictures.
        stage: where its pictures are made.
    """

    async def close_stage(_: web.Application) -> None:
        await stage.close()

    app = application(
        access.check,
        [
            *(web.get(path, _file(name, kind)) for path, (name, kind) in files.items()),
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


def _data(state: State) -> Handler:
    def encoded() -> bytes:
        return json.dumps(state.document(), separators=(",", ":"), allow_nan=False).encode()

    async def answer(_: web.Request) -> web.Response:
        try:
            body = await asyncio.to_thread(encoded)
        except (DistillError, OSError) as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(body=body, content_type="application/json")

    return answer
