"""Shows a run while it runs: a live table on a terminal, a log line now and then elsewhere."""

import logging
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live

from cluster.state.log_lines import PROGRESS

log = logging.getLogger(PROGRESS)

LINE_SECONDS = 15.0


class View(Protocol):
    """What can be shown of a run."""

    def line(self) -> str:
        """Return the run as one line of a log."""
        ...

    def draw(self) -> RenderableType:
        """Return the run as it is drawn on a terminal."""
        ...


class Display:
    """Shows a run; use it as a context manager.

    Args:
        console: where to draw; one that cannot draw over what it has drawn gets log lines instead.
        view: what to draw.
    """

    def __init__(self, console: Console, view: View) -> None:
        self._view = view
        self._live = Live(console=console, refresh_per_second=2, transient=False) if console.is_interactive else None
        self._line_at = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._view.draw())
            self._live.stop()

    def update(self) -> None:
        """Draw the run as it is now."""
        if self._live is not None:
            self._live.update(self._view.draw())
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            log.info(self._view.line())
