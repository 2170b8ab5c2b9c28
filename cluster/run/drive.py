"""Sees the training of a session through: what it shows, what it serves, and that it is stopped in any case."""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from rich.console import Console

from cluster.monitor.live_page import dashboard
from cluster.monitor.metrics.of_session import RunMetrics, serve_metrics
from cluster.monitor.tensorboard import TensorBoard
from cluster.monitor.terminal import Display, View
from cluster.monitor.timing_tree import print_timing
from cluster.run.surroundings import Sitting
from cluster.state.run_session import RunSession
from distill.config import MonitoringConfig


class Training(Protocol):
    """What trains."""

    def train(self) -> Iterator[None]:
        """Train until the budget is spent; yield often."""
        ...

    def stop(self) -> None:
        """Flush, publish, checkpoint, end."""
        ...


@contextlib.contextmanager
def trained(
    session: RunSession,
    training: Training,
    view: View,
    sitting: Sitting,
    config: MonitoringConfig,
    roles: Iterable[str],
    console: Console,
) -> Generator[RunMetrics]:
    """Train until the budget is spent or the user asks to stop, then yield what serves the metrics, until the end.

    Args:
        session: what is trained.
        training: that does it.
        view: of the session.
        sitting: of the run.
        config: where metrics are served.
        roles: of the session's actors.
        console: where to draw.
    """
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(serve_metrics(config, session, sitting.services, roles))
        if config.dashboard:
            page = stack.enter_context(dashboard(session.folder.path, config.dashboard_port))
            session.note(f"dashboard: {page}")
        if config.tensorboard:
            board = stack.enter_context(contextlib.closing(TensorBoard(session.folder.path)))
            session.on_metrics = board.write
        with Display(console, view) as display:
            try:
                for _ in sitting.over(training.train(), session):
                    display.update()
                    metrics.update()
            finally:
                training.stop()
            display.update()
        print_timing(session.folder.path, console)
        # What has ended must not look as if it were missing.
        metrics.update(at_once=True)
        yield metrics
