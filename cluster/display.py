"""Shows a run while it runs: a live table on a terminal, a log line now and then elsewhere."""

import logging
import time
from datetime import timedelta
from statistics import fmean
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster.session import Session
from distill.scores import score_ratio

log = logging.getLogger(__name__)

LINE_SECONDS = 15.0


class Display:
    """Draws a session; use it as a context manager.

    Args:
        console: where to draw; a console that is no terminal gets log lines instead.
        session: what to draw.
    """

    def __init__(self, console: Console, session: Session) -> None:
        self._session = session
        self._live = Live(console=console, refresh_per_second=2, transient=False) if console.is_terminal else None
        self._line_at = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._draw())
            self._live.stop()

    def update(self) -> None:
        """Draw the session as it is now."""
        if self._live is not None:
            self._live.update(self._draw())
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            log.info(self._line())

    def _line(self) -> str:
        progress = self._session.progress
        loss = " ".join(f"{game} {value:.4f}" for game, value in sorted(progress.loss.items())) or "-"
        inserted = " ".join(f"{game} {count:,}" for game, count in sorted(progress.inserted.items())) or "-"
        return (
            f"update {progress.updates:,} ({progress.fraction:.0%}), {progress.updates_per_second:.1f}/s, loss {loss},"
            f" transitions {inserted}, {progress.ratio:.1f} samples each,"
            f" waits: {self._who_waits()}, {self._remaining()}"
        )

    def _who_waits(self) -> str:
        progress = self._session.progress
        writers = sum(report.seconds["wait"] for report in self._session.reports.values())
        waits = {"learner": progress.sample_wait_seconds, "feed": progress.insert_wait_seconds, "actors": writers}
        who = max(waits, key=lambda name: waits[name])
        return f"{who} ({waits[who]:.0f} s)" if waits[who] >= 1.0 else "nobody"

    def _remaining(self) -> str:
        progress = self._session.progress
        if progress.fraction <= 0.0:
            return "time left unknown yet"
        seconds = progress.train_seconds * (1.0 - progress.fraction) / progress.fraction
        return f"{timedelta(seconds=round(seconds))} left"

    def _draw(self) -> Group:
        session, progress = self._session, self._session.progress
        games = Table(title=f"run {session.folder.name}", title_justify="left", expand=False)
        for column in (
            "game",
            "transitions",
            "per second",
            "episodes",
            "teacher now",
            "card",
            "student",
            "ratio",
            "loss",
        ):
            games.add_column(column, justify="left" if column == "game" else "right", no_wrap=True)
        for game, teacher in session.teachers.items():
            reports = [report for report in session.reports.values() if report.game == game]
            played = [score for report in reports for score in report.episode_scores]
            student = session.scores.get(game)
            card = fmean(teacher.scores) if teacher.scores else None
            ratio = score_ratio(game, student.mean, card).value if student and card is not None else None
            games.add_row(
                game,
                f"{progress.inserted.get(game, 0):,}",
                f"{session.collected_per_second(game):,.0f}",
                f"{sum(report.episodes for report in reports):,}",
                _number(fmean(played) if played else None, 1),
                _number(card, 1),
                _number(student.mean if student else None, 1),
                _number(ratio, 2),
                _number(progress.loss.get(game), 4),
            )
        batch = session.config.learner.batch_size
        learner = Text(
            f"learner  update {progress.updates:,} ({progress.fraction:.0%})"
            f"  {progress.updates_per_second:.1f} updates/s"
            f"  {progress.updates_per_second * batch:,.0f} samples/s  {progress.ratio:.1f} samples per transition"
            f"  waits: {self._who_waits()}  {self._remaining()}"
        )
        best = f"best student {session.best.version}: {session.best.score:.2f} of the teachers" if session.best else ""
        return Group(games, learner, Text(best), *(Text(message, style="dim") for message in session.messages))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
