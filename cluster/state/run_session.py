"""What the sessions of all kinds of runs have in common: reports of actors, restarts, messages, lines of metrics."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.collecting_actor import CollectorStatus
from cluster.services import RedisServices
from cluster.state.folder import METRICS, RunFolder
from learner.status import LearnerStatus

log = logging.getLogger(__name__)

METRICS_SECONDS = 5.0


@dataclass
class RunSession:
    """State of one sitting of a run.

    Attributes:
        folder: the run's folder.
        sitting: how often the run was resumed.
        reports: every collecting actor's newest report.
        restarts: actors started again, by role.
        actors: by role, how many actors work and how many should.
        evaluated: evaluations that this sitting has had, by game.
        messages: newest events worth a line.
        on_metrics: called with every line of metrics.
    """

    folder: RunFolder
    sitting: int = field(default=0, kw_only=True)
    reports: dict[str, CollectorStatus] = field(default_factory=dict[str, CollectorStatus], kw_only=True)
    restarts: Counter[str] = field(default_factory=Counter[str], kw_only=True)
    actors: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]], kw_only=True)
    evaluated: Counter[str] = field(default_factory=Counter[str], kw_only=True)
    messages: deque[str] = field(default_factory=lambda: deque[str](maxlen=5), kw_only=True)
    on_metrics: Callable[[Mapping[str, Any]], None] | None = field(default=None, kw_only=True)
    _metrics_at: float = field(default=0.0, kw_only=True)
    _replaced: list[str] = field(default_factory=list[str], kw_only=True)

    def note(self, message: str) -> None:
        """Log an event and show it."""
        log.info(message)
        self.messages.append(message)

    def on_report(self, report: CollectorStatus) -> None:
        """Take a collecting actor's report."""
        self.reports[report.producer] = report

    def on_redis_restart(self, services: RedisServices) -> None:
        """Connect again to what a restarted Redis may have forgotten."""

    def on_restart(self, name: str, role: str, reason: str) -> None:
        """Count an actor that is started again."""
        self.restarts[role] += 1
        self._replaced.append(name)
        self.note(f"{name} is replaced: {(reason.strip() or 'it died').splitlines()[-1]}")
        log.debug("%s: %s", name, reason)

    def on_retired(self, name: str) -> None:
        """Forget an actor that the run needs no more."""
        self.reports.pop(name, None)
        self._replaced.append(name)

    def take_replaced(self) -> list[str]:
        """Return the names of the actors that were replaced or retired since the last call."""
        replaced, self._replaced = self._replaced, []
        return replaced

    def collected_per_second(self, game: str) -> float:
        """Return transitions per second of a game's collecting actors since they began."""
        reports = [report for report in self.reports.values() if report.game == game]
        return sum(report.steps / max(1e-9, sum(report.seconds.values())) for report in reports)

    def metrics_are_due(self, *, at_once: bool) -> bool:
        """Return whether a line of metrics is to be written now, and plan the next one."""
        due = at_once or time.monotonic() >= self._metrics_at
        if due:
            self._metrics_at = time.monotonic() + METRICS_SECONDS
        return due

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Write a line of metrics."""
        self.folder.append(METRICS, row)
        if self.on_metrics is not None:
            self.on_metrics(row)

    def actor_metrics(self) -> dict[str, Any]:
        """Return what a line of metrics says of the collecting actors."""
        return {
            "collectors": {
                name: {
                    "game": report.game,
                    "transitions": report.transitions,
                    "episodes": report.episodes,
                    "seconds": report.seconds,
                    "teacher_version": report.teacher_version,
                    "student_version": report.driver_version,
                    "buffer_full": report.writer.full,
                    "buffer_outages": report.writer.outages,
                }
                for name, report in self.reports.items()
            },
            "restarts": dict(self.restarts),
        }


def learner_metrics(progress: LearnerStatus) -> dict[str, Any]:
    """Return what a line of metrics says of any learner."""
    return {
        "seconds": progress.train_seconds,
        "updates": progress.updates,
        "updates_per_second": progress.updates_per_second,
        "loss": progress.loss,
        "nonfinite_updates": progress.nonfinite_updates,
        "inserted_transitions": progress.inserted,
        "sample_to_insert_ratio": progress.ratio,
        "wait_seconds": {"sample": progress.sample_wait_seconds, "insert": progress.insert_wait_seconds},
        "rejected_chunks": progress.rejected,
        "version": progress.version,
    }
