"""How a run looks while it goes on: a table of games and a line for every learner."""

from datetime import timedelta
from statistics import fmean

from rich.console import Group
from rich.styled import Styled
from rich.table import Table

from cluster.state.session import Session
from distill.protocols import STUDENT
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
        session = self._session
        learners = "; ".join(
            f"{lineage}: update {status.updates:,} ({status.fraction:.0%}), {status.updates_per_second:.1f}/s,"
            f" {status.ratio:.1f} samples each, waits: {self._who_waits(status)}"
            for lineage, status in session.learners.items()
        )
        games = "; ".join(
            f"{game}: {session.game_steps(game):,} transitions, teacher {number(session.teacher_mean(game), 1)}"
            f"{', student ' + number(session.scores.get((STUDENT, game)), 1) if session.kind.student else ''}"
            for game in session.games
        )
        return f"{learners or 'starting'}; {games}; {self._remaining()}"

    def draw(self) -> Group:
        """Return the session as a table."""
        session = self._session
        columns = [column for column in self._row(session.games[0]) if self._shows(column)]
        table = Table(title=f"run {session.folder.name}", title_justify="left", expand=False)
        for column in columns:
            table.add_column(column, justify="left" if column == "game" else "right", no_wrap=True)
        for game in session.games:
            row = self._row(game)
            table.add_row(*(row[column] for column in columns))
        lines = [
            (
                f"{lineage}  update {status.updates:,} ({status.fraction:.0%})"
                f"  {status.updates_per_second:.1f} updates/s  {status.ratio:.1f} samples per transition"
                f"  waits: {self._who_waits(status)}"
                + (f"  lag: {', '.join(f'{lag:.1f}' for lag in status.lag.values())}" if status.lag else "")
            )
            for lineage, status in session.learners.items()
        ]
        return Group(table, *lines, self._remaining(), *(Styled(message, "dim") for message in session.messages))

    def _row(self, game: str) -> dict[str, str]:
        """Return all that can be told of a game, by column."""
        session = self._session
        leader, lineage = session.kind.leader_of(game).name, session.kind.teacher_of(game)
        players = [player for player in session.players.values() if player.game == game]
        played = [score for player in players for score in player.episode_scores]
        status, state = session.learners.get(leader), session.states.get(leader)
        return {
            "game": game,
            "transitions": f"{session.game_steps(game):,}",
            "per second": f"{session.collected_per_second(game):,.0f}",
            "episodes": f"{sum(player.episodes for player in players):,}",
            "teacher now": number(fmean(played) if played else None, 1),
            "candidate": number(session.scores.get((lineage.name, game)) if lineage else None, 1),
            "teacher": number(session.teacher_mean(game), 1),
            "student": number(session.scores.get((STUDENT, game)), 1),
            "ratio": number(session.ratio(game), 2),
            "promotions": str(state.promotions) if state is not None else "-",
            "loss": number(status.loss.get(game) if status is not None else None, 4),
        }

    def _shows(self, column: str) -> bool:
        kind = self._session.kind
        if column in ("student", "ratio"):
            return kind.student is not None
        if column in ("teacher now", "candidate"):
            # Fixed teachers play themselves; Q-learners send candidates.
            return kind.taught == (column == "teacher now")
        return True

    def _who_waits(self, status: LearnerStatus) -> str:
        return who_waits(status, sum(player.seconds["wait"] for player in self._session.players.values()))

    def _remaining(self) -> str:
        leading = [lineage.name for lineage in self._session.kind.leading]
        learners = [status for lineage, status in self._session.learners.items() if lineage in leading]
        slowest = min(learners, key=lambda status: status.fraction, default=None)
        return "time left unknown yet" if slowest is None else time_left(slowest)


def who_waits(status: LearnerStatus, actor_seconds: float) -> str:
    """Return who of a learner, its feed and the actors has waited longest."""
    waits = {"learner": status.sample_wait_seconds, "feed": status.insert_wait_seconds, "actors": actor_seconds}
    who = max(waits, key=lambda name: waits[name])
    return f"{who} ({waits[who]:.0f} s)" if waits[who] >= 1.0 else "nobody"


def time_left(status: LearnerStatus) -> str:
    """Return how long a learner's budget will last at the pace so far."""
    if status.fraction <= 0.0:
        return "time left unknown yet"
    seconds = status.train_seconds * (1.0 - status.fraction) / status.fraction
    return f"{timedelta(seconds=round(seconds))} left"


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"
