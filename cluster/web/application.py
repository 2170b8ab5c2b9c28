"""What all our servers answer alike: who is refused, paths that do not exist, and the head of every answer."""

import logging
from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from cluster.web.connections import Connection
from cluster.web.guard import SECURITY

log = logging.getLogger(__name__)


def application(check: Callable[[Mapping[str, str]], None], routes: Iterable[web.RouteDef]) -> web.Application:
    """Return what answers welcome requests only; whether a path exists is not told to others.

    Args:
        check: raises the answer to a request that is not welcome, by its headers.
        routes: for the rest.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        check(request.headers)
        with Connection.of(request).answering():
            return await handler(request)

    app = web.Application(middlewares=[guard])
    app.on_response_prepare.append(_complete)
    app.add_routes([*routes, web.get("/{path:.*}", _missing)])
    return app


async def _missing(_: web.Request) -> web.Response:
    raise web.HTTPNotFound(text="There is no such page.")


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the rules for browsers; log requests only on demand, and never headers and so tokens."""
    response.headers.update(SECURITY)
    log.debug(
        '%s "%s %s HTTP/%d.%d" %d', request.remote, request.method, request.raw_path, *request.version, response.status
    )
