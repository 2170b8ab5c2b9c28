"""Serves the live page of a run over HTTP."""

from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.watch.access import Access
from cluster.watch.cast import Cast
from cluster.watch.match import begin_match
from cluster.watch.routes import RUN, page
from cluster.watch.stage import Stage
from cluster.watch.state import StateReader
from cluster.web.server import HttpServer


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
        self._server = HttpServer("watch", page(access, RUN, state, self._stage), host, port)

    @property
    def address(self) -> str:
        """The page's URL."""
        return f"http://{self._server.address}/"

    @property
    def playing(self) -> bool:
        """Whether games are played now."""
        return self._stage.playing

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
