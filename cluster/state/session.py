"""What is known of a run while it goes on, from what its actors tell: for the terminal, the metrics and the rows."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from actors.collecting_actor import CollectorStatus
from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.coordinator import LineageState, Orders
from cluster.models.mirror import ModelMirror
from cluster.redis.holder import incarnation_of
from cluster.services import RunServices
from cluster.state.folder import EVALUATIONS, METRICS, RunFolder
from cluster.state.kinds import AnyConfig, Kind, kind_of
from cluster.state.owed_rows import OwedRows
from cluster.state.progress import Progress
from cluster.state.rows import evaluation_row, metrics_row
from cluster.state.unwritten import Unwritten
from distill.errors import BufferUnavailable, DistillError
from distill.protocols import STUDENT
from distill.scores import score_ratio
from distill.teachers import Teacher
from learner.status import LearnerStatus

log = logging.getLogger(__name__)

METRICS_SECONDS = 5.0
Follower = Callable[[int, Mapping[str, Any]], None]
"""Takes a learner's updates, and figures by name, nested as in `metrics.jsonl`."""


@dataclass
class Session:
    """State of one sitting of a run.

    Attributes:
        folder: the run's folder.
        config: the run's configuration.
        services: how to reach buffer and registry.
        teachers: the fixed teacher of every game; none where Q-learners teach.
        sitting: how often the run was resumed.
        learners: newest status of every learner, by its lineage.
        states: how far every lineage has come.
        scores: newest mean score by lineage and game, of versions that were evaluated of late.
        players: newest status of every collecting actor, by its name.
        restarts: actors started again, by role.
        actors: by role, how many actors work and how many should.
        evaluated: evaluations that this sitting has had, by game.
        outages: tries of evaluator and coordinator to reach the registry, or a version in it, that failed.
        messages: newest events worth a line.
        followers: take the updates and the figures of every row, and never wait or raise.
        unwritten: what the disk has refused.
        progress: how far the learners' checkpoints have come.
        evaluations: rows of evaluations, of which the disk may have refused some.
    """

    folder: RunFolder
    config: AnyConfig
    services: RunServices
    teachers: Mapping[str, Teacher] = field(default_factory=dict[str, Teacher])
    sitting: int = 0
    learners: dict[str, LearnerStatus] = field(default_factory=dict[str, LearnerStatus])
    states: dict[str, LineageState] = field(default_factory=dict[str, LineageState])
    scores: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    players: dict[str, CollectorStatus] = field(default_factory=dict[str, CollectorStatus])
    restarts: Counter[str] = field(default_factory=Counter[str])
    actors: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    evaluated: Counter[str] = field(default_factory=Counter[str])
    outages: int = 0
    messages: deque[str] = field(default_factory=lambda: deque[str](maxlen=5))
    followers: list[Follower] = field(default_factory=list[Follower])
    _metrics_at: float = 0.0
    _outage: str = ""
    _replaced: list[str] = field(default_factory=list[str])
    kind: Kind = field(init=False)
    unwritten: Unwritten = field(init=False)
    progress: Progress = field(init=False)
    evaluations: OwedRows = field(init=False)

    def __post_init__(self) -> None:
        self.kind = kind_of(self.config)
        self.unwritten = Unwritten(self.note)
        self.progress = Progress(self.folder)
        self.evaluations = OwedRows(self.folder, EVALUATIONS, self.unwritten, "evaluation")

    @property
    def games(self) -> tuple[str, ...]:
        """The run's games."""
        return self.config.general.games

    @property
    def done(self) -> bool:
        """Whether every leading learner has spent its budget."""
        return all(lineage.name in self.learners and self.learners[lineage.name].done for lineage in self.kind.leading)

    def services_of(self, role: str, starts: int = 0) -> RunServices:
        """Return what the holder of a role connects by, which was started `starts` times before in this sitting."""
        return self.services.held_by(role, incarnation_of(self.sitting, starts))

    def game_steps(self, game: str) -> int:
        """Return the transitions of a game that its leading learner has learned from."""
        status = self.learners.get(self.kind.leader_of(game).name)
        return status.inserted.get(game, 0) if status is not None else 0

    def updates(self, lineage: str) -> int:
        """Return the updates that a lineage's learner has made."""
        return self.learners[lineage].updates if lineage in self.learners else 0

    def teacher_mean(self, game: str) -> float | None:
        """Return the mean score of a game's teacher: of its card, or of the best candidate so far; None if unknown."""
        lineage = self.kind.teacher_of(game)
        if lineage is None:
            scores = self.teachers[game].scores if game in self.teachers else []
            return fmean(scores) if scores else None
        state = self.states.get(lineage.name)
        return state.best_means.get(game) if state is not None else None

    def ratio(self, game: str) -> float | None:
        """Return the newest student's ratio to the teacher at a game, None where one of them is unknown."""
        student, teacher = self.scores.get((STUDENT, game)), self.teacher_mean(game)
        return None if student is None or teacher is None else score_ratio(game, student, teacher).value

    def note(self, message: str) -> None:
        """Log an event and show it."""
        log.info(message)
        self.messages.append(message)

    def on_player(self, status: CollectorStatus) -> None:
        """Take a collecting actor's status."""
        self.players[status.producer] = status

    def on_learner(self, status: LearnerStatus) -> None:
        """Take a learner's status, and write a row of metrics every few seconds.

        Raises:
            RunError: if it has lost checkpoints that were written.
        """
        before = self.learners.get(status.lineage)
        self._take_saved(status)
        if status.last_rejection and (before is None or status.last_rejection != before.last_rejection):
            self.note(f"chunk refused: {status.last_rejection}")
        self.learners[status.lineage] = status
        ended = status.done and not (before is not None and before.done)
        if ended or time.monotonic() >= self._metrics_at:
            self.write_metrics()

    def on_closed(self, status: LearnerStatus) -> str:
        """Take the last status of a learner that has ended; return what of its training is not saved, empty if all is.

        Raises:
            RunError: if it has lost checkpoints that were written.
        """
        self._take_saved(status)
        _, why = status.refused.get("checkpoint", (0, ""))
        first = status.checkpoint_updates + 1
        return f"updates {first:,} to {status.updates:,} of {status.lineage} are not saved: {why}" if why else ""

    def _take_saved(self, status: LearnerStatus) -> None:
        self._notice_refusals(status, self.learners.get(status.lineage))
        with self.unwritten.outlived("progress"):
            self.progress.acknowledge(status.lineage, status.checkpoint_updates)

    def _notice_refusals(self, status: LearnerStatus, before: LearnerStatus | None) -> None:
        """Tell what the disk has refused of a learner since its last status."""
        for kind, (count, why) in status.refused.items():
            known = 0 if before is None else before.refused.get(kind, (0, ""))[0]
            # Its process may have begun anew, with a count of its own.
            if new := count - known if count >= known else count:
                self.unwritten.refused(kind, f"{status.lineage}: {why or 'refused for a while'}", new)
            elif not why:
                self.unwritten.written(kind)

    def on_orders(self, orders: Orders) -> None:
        """Take the coordinator's answer."""
        self.states = {state.lineage: state for state in orders.lineages}
        for news in orders.news:
            self.note(news)

    def on_evaluation(self, task: EvaluationTask, evaluation: Evaluation) -> None:
        """Take a block of episodes of a version of late, and write it down."""
        self.evaluated[task.game] += 1
        if task.purpose == "look":
            self.scores[task.lineage, task.game] = evaluation.score().mean
        self.write_evaluation(task, evaluation)

    def on_restart(self, name: str, role: str, reason: str) -> None:
        """Count an actor that is started again."""
        self.restarts[role] += 1
        self._replaced.append(name)
        self.note(f"{name} is replaced: {(reason.strip() or 'it died').splitlines()[-1]}")
        log.debug("%s: %s", name, reason)

    def on_outage(self, who: str, reason: str) -> None:
        """Count that somebody waits for the registry, and tell the first time what for."""
        self.outages += 1
        if reason != self._outage:
            self._outage = reason
            self.note(f"{who} waits: {reason}")

    def on_retired(self, name: str) -> None:
        """Forget an actor that the run needs no more."""
        self.players.pop(name, None)
        self._replaced.append(name)

    def on_redis_restart(self) -> None:
        """Give a restarted Redis the models that it may have forgotten; if it is away again, the coordinator will."""
        with suppress(BufferUnavailable):
            for lineage in self.kind.lineages:
                self.services.ledger(lineage.name).synchronise()

    def take_replaced(self) -> list[str]:
        """Return the names of the actors that were replaced or retired since the last call."""
        replaced, self._replaced = self._replaced, []
        return replaced

    def collected_per_second(self, game: str) -> float:
        """Return transitions per second of a game's collecting actors since they began."""
        mine = [player for player in self.players.values() if player.game == game]
        return sum(player.steps / max(1e-9, sum(player.seconds.values())) for player in mine)

    def write_metrics(self) -> None:
        """Write a row of metrics."""
        self._metrics_at = time.monotonic() + METRICS_SECONDS
        row = metrics_row(self.learners, self.states, self.players, self.restarts, self.outages)
        with self.unwritten.outlived("metrics"):
            self.folder.append(METRICS, row)
        self._follow(row["updates"], row)
        self.evaluations.pay()

    def write_evaluation(self, task: EvaluationTask, evaluation: Evaluation) -> None:
        """Write down a block of episodes, later if the disk refuses it now."""
        try:
            published = ModelMirror(self.folder.path, task.lineage).metadata(task.version)
        except DistillError as error:
            self.note(f"{task.lineage} {task.version}: the run's folder does not say how it was trained: {error}")
            published = {}
        self.evaluations.append(evaluation_row(task, evaluation, published))
        # Episodes of the last half are played after all updates, so the version says where on the axis they belong.
        self._follow(published.get("updates", 0), {"score": {task.lineage: {task.game: evaluation.score().mean}}})

    def _follow(self, updates: int, figures: Mapping[str, Any]) -> None:
        for follower in self.followers:
            follower(updates, figures)
