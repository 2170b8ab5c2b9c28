"""Everything that a run tells to others while it lives: metrics for Prometheus, the live page, trackers."""

import contextlib
from collections.abc import Generator

from cluster.monitor.live_page import dashboard
from cluster.monitor.metrics.of_session import RunMetrics, serve_metrics
from cluster.monitor.trackers.catalogue import wanted_trackers
from cluster.monitor.trackers.tracker import Tracked
from cluster.monitor.trackers.tracking import Tracking
from cluster.state.folder import CONFIG, RunFolder
from cluster.state.session import Session
from cluster.state.yaml_file import read_yaml
from distill.config import MonitoringConfig

Monitoring = RunMetrics
"""What is told again and again; the page follows the run's folder, and trackers its rows."""


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
        for kind in wanted_trackers(config):
            tracking = Tracking(kind, _tracked(session.folder), session.unwritten)
            session.followers.append(stack.enter_context(contextlib.closing(tracking)).write)
        yield metrics


def _tracked(folder: RunFolder) -> Tracked:
    return Tracked(folder.path, folder.name, folder.run_id(), read_yaml(folder.path / CONFIG))
