"""How a distillation looks while it runs: a table of games and a line of its learner."""

from datetime import timedelta
from statistics import fmean

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cluster.state.session import Session
from distill.scores import score_ratio
from learner.status import LearnerStatus


class RunView:
    """Draws a session; see `cluster.monitor.terminal.View`.

    Args:
        session: what to draw.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def line(self) -> str:
        """Return the session as one line of a log."""
        progress = self._session.progress
        loss = " ".join(f"{game} {value:.4f}" for game, value in sorted(progress.loss.items())) or "-"
        inserted = " ".join(f"{game} {count:,}" for game, count in sorted(progress.inserted.items())) or "-"
        return (
            f"update {progress.updates:,} ({progress.fraction:.0%}), {progress.updates_per_second:.1f}/s, loss {loss},"
            f" transitions {inserted}, {progress.ratio:.1f} samples each,"
            f" waits: {self._who_waits()}, {time_left(progress)}"
        )

    def _who_waits(self) -> str:
        return who_waits(self._session.progress, sum(r.seconds["wait"] for r in self._session.reports.values()))

    def draw(self) -> Group:
        """Return the session as a table."""
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
                number(fmean(played) if played else None, 1),
                number(card, 1),
                number(student.mean if student else None, 1),
                number(ratio, 2),
                number(progress.loss.get(game), 4),
            )
        batch = session.config.learner.batch_size
        learner = Text(
            f"learner  update {progress.updates:,} ({progress.fraction:.0%})"
            f"  {progress.updates_per_second:.1f} updates/s"
            f"  {progress.updates_per_second * batch:,.0f} samples/s  {progress.ratio:.1f} samples per transition"
            f"  waits: {self._who_waits()}  {time_left(progress)}"
        )
        best = f"best student {session.best.version}: {session.best.score:.2f} of the teachers" if session.best else ""
        return Group(games, learner, Text(best), *(Text(message, style="dim") for message in session.messages))


def who_waits(progress: LearnerStatus, actor_seconds: float) -> str:
    """Return who of a learner, its feed and the actors has waited longest."""
    waits = {"learner": progress.sample_wait_seconds, "feed": progress.insert_wait_seconds, "actors": actor_seconds}
    who = max(waits, key=lambda name: waits[name])
    return f"{who} ({waits[who]:.0f} s)" if waits[who] >= 1.0 else "nobody"


def time_left(progress: LearnerStatus) -> str:
    """Return how long a learner's budget will last at the pace so far."""
    if progress.fraction <= 0.0:
        return "time left unknown yet"
    seconds = progress.train_seconds * (1.0 - progress.fraction) / progress.fraction
    return f"{timedelta(seconds=round(seconds))} left"


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"
