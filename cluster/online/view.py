"""How a run with Q-learners looks while it runs: a table of games and a line for every learner."""

from rich.console import Group
from rich.styled import Styled
from rich.table import Table

from cluster.online.session import OnlineSession
from cluster.run_view import number, time_left, who_waits
from learner.student_trainer import LINE

COLUMNS = ("game", "steps", "per second", "episodes", "candidate", "best", "student", "promotions", "loss")


class OnlineView:
    """Draws a session; see `cluster.display.View`.

    Args:
        session: what to draw.
    """

    def __init__(self, session: OnlineSession) -> None:
        self._session = session

    def line(self) -> str:
        """Return the session as one line of a log."""
        session = self._session
        learners = "; ".join(
            f"{line}: update {progress.updates:,} ({progress.fraction:.0%}), {progress.updates_per_second:.1f}/s"
            for line, progress in session.progress.items()
        )
        games = "; ".join(
            f"{game}: {session.game_steps(game):,} steps, best {number(self._best(game), 1)}"
            for game in session.config.general.games
        )
        return f"{learners or 'starting'}; {games}; {self._remaining()}"

    def _best(self, game: str) -> float | None:
        state = self._session.states.get(self._session.line_of(game).name)
        return state.best_means.get(game) if state is not None else None

    def _remaining(self) -> str:
        fractions = [p for line, p in self._session.progress.items() if line != LINE]
        slowest = min(fractions, key=lambda progress: progress.fraction, default=None)
        return "time left unknown yet" if slowest is None else time_left(slowest)

    def draw(self) -> Group:
        """Return the session as a table."""
        session = self._session
        table = Table(title=f"run {session.folder.name}", title_justify="left", expand=False)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "game" else "right", no_wrap=True)
        for game in session.config.general.games:
            line = session.line_of(game).name
            progress, state = session.progress.get(line), session.states.get(line)
            table.add_row(
                game,
                f"{session.game_steps(game):,}",
                f"{session.collected_per_second(game):,.0f}",
                f"{sum(report.episodes for report in session.reports.values() if report.game == game):,}",
                number(session.scores.get((line, game)), 1),
                number(self._best(game), 1),
                number(session.scores.get((LINE, game)), 1),
                str(state.promotions) if state is not None else "-",
                number(progress.loss.get(game) if progress is not None else None, 4),
            )
        waits = sum(report.seconds["wait"] for report in session.reports.values())
        lines = [
            (
                f"{line}  update {progress.updates:,} ({progress.fraction:.0%})"
                f"  {progress.updates_per_second:.1f} updates/s  {progress.ratio:.1f} samples per step"
                f"  waits: {who_waits(progress, waits)}"
                f"  lag: {', '.join(f'{lag:.1f}' for lag in progress.lag.values()) or '-'}"
            )
            for line, progress in session.progress.items()
        ]
        return Group(table, *lines, self._remaining(), *(Styled(message, "dim") for message in session.messages))
