"""Everything that a run tells to others while it lives: metrics for Prometheus, the live page, TensorBoard."""

import contextlib
from collections.abc import Generator

from cluster.monitor.live_page import dashboard
from cluster.monitor.metrics.of_session import RunMetrics, serve_metrics
from cluster.monitor.tensorboard import TensorBoard
from cluster.state.session import Session
from distill.config import MonitoringConfig

Monitoring = RunMetrics
"""What is told again and again; the page and TensorBoard follow the run's rows by themselves."""


@contextlib.contextmanager
def monitored(session: Session, config: MonitoringConfig) -> Generator[Monitoring]:
    """Serve what the configuration asks for until the end.

    Raises:
        RunError: if an address cannot be listened on, or the page does not start.
    """
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(serve_metrics(config, session))
        if config.dashboard:
            page = stack.enter_context(dashboard(session.folder.path, config.dashboard_port))
            session.note(f"dashboard: {page}")
        if config.tensorboard:
            board = stack.enter_context(contextlib.closing(TensorBoard(session.folder.path)))
            session.on_metrics = board.write
        yield metrics
