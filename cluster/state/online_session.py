"""What is known of a run with Q-learners while it runs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.coordinator import FRESH, Line, LineState, Orders
from cluster.services import RedisServices
from cluster.state.folder import EVALUATIONS
from cluster.state.run_session import RunSession, learner_metrics
from distill.errors import DistillError
from distill.games import action_count
from distill.protocols import STUDENT
from distill.teach_config import OnlineConfig, TeachConfig
from learner.q_trainer import QPlan
from learner.status import LearnerStatus
from learner.student_trainer import StudentPlan


@dataclass
class OnlineSession(RunSession):
    """State of one sitting of a run with Q-learners.

    Attributes:
        config: the run's configuration; an `OnlineConfig` has a student.
        services: how to reach buffer and registry.
        progress: newest report of every learner, by its line.
        states: how far every line has come.
        scores: newest mean score by line and game.
    """

    config: TeachConfig
    services: RedisServices
    progress: dict[str, LearnerStatus] = field(default_factory=dict[str, LearnerStatus])
    states: dict[str, LineState] = field(default_factory=dict[str, LineState])
    scores: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    @property
    def q_lines(self) -> list[Line]:
        """The Q-learners' lines: one for each game if a student learns from them, else one for all games."""
        games = self.config.general.games
        if isinstance(self.config, OnlineConfig):
            return [Line(game, (game,), "candidate", ("best",)) for game in games]
        return [Line("-".join(games), games, "candidate", ("best",))]

    @property
    def lines(self) -> list[Line]:
        """All lines, the student's last."""
        if not isinstance(self.config, OnlineConfig):
            return self.q_lines
        return [*self.q_lines, Line(STUDENT, self.config.general.games, "student", ("best", "production"))]

    @property
    def student_ratio(self) -> float | None:
        """Samples per transition that the student's learner holds; None without a student, or without a limit."""
        return self.config.learner.sample_to_insert if isinstance(self.config, OnlineConfig) else None

    @property
    def done(self) -> bool:
        """Whether every Q-learner has spent its budget."""
        return all(line.name in self.progress and self.progress[line.name].done for line in self.q_lines)

    def line_of(self, game: str) -> Line:
        """Return the Q-learner's line that plays a game."""
        return next(line for line in self.q_lines if game in line.games)

    def game_steps(self, game: str) -> int:
        """Return the steps of a game that its Q-learner has learned from."""
        progress = self.progress.get(self.line_of(game).name)
        return progress.inserted.get(game, 0) if progress is not None else 0

    def on_progress(self, progress: LearnerStatus) -> None:
        """Take a learner's report, and write a line of metrics every few seconds."""
        before = self.progress.get(progress.line)
        if progress.last_rejection and (before is None or progress.last_rejection != before.last_rejection):
            self.note(f"chunk refused: {progress.last_rejection}")
        self.progress[progress.line] = progress
        if self.metrics_are_due(at_once=progress.done and not (before is not None and before.done)):
            self.write_metrics()

    def write_metrics(self) -> None:
        """Write a line of metrics."""
        self.append_metrics(self.metrics())

    def on_orders(self, orders: Orders) -> None:
        """Take the coordinator's answer."""
        self.states = {state.line: state for state in orders.lines}
        for news in orders.news:
            self.note(news)

    def on_evaluation(self, task: EvaluationTask, evaluation: Evaluation) -> None:
        """Take a block of episodes of a version of late, and write it down."""
        self.evaluated[task.game] += 1
        if task.block < FRESH:
            self.scores[task.line, task.game] = evaluation.score().mean
        self.write_evaluation(task, evaluation)

    def write_evaluation(self, task: EvaluationTask, evaluation: Evaluation) -> None:
        """Write down a block of episodes."""
        self.folder.append(EVALUATIONS, {
            "time": time.time(),
            "line": task.line,
            "version": task.version,
            "game": task.game,
            "block": task.block,
            "fresh": task.block >= FRESH,
            **self._described(task),
            "scores": list(evaluation.scores),
            "lengths": list(evaluation.lengths),
        })  # fmt: skip

    def _described(self, task: EvaluationTask) -> dict[str, Any]:
        try:
            metadata = self.services.registry(task.line).describe(task.version)
        except DistillError as error:
            self.note(f"{task.line} {task.version}: its registry does not say how it was trained: {error}")
            return {}
        return {key: metadata[key] for key in ("updates", "seconds", "transitions")}

    def metrics(self) -> dict[str, Any]:
        """Return one line of metrics."""
        return {
            "time": time.time(),
            "updates": max((progress.updates for progress in self.progress.values()), default=0),
            "learners": {
                line: learner_metrics(progress) | {"lag": progress.lag} for line, progress in self.progress.items()
            },
            "lines": {
                line: {"newest": state.newest, "best": state.best, "promotions": state.promotions}
                for line, state in self.states.items()
            },
            **self.actor_metrics(),
        }


def plans(session: OnlineSession, commit: str) -> dict[str, tuple[QPlan | StudentPlan, Mapping[str, int]]]:
    """Return what every learner trains and A of its games, by line.

    Raises:
        DistillError: if the initial model cannot be read.
    """
    config = session.config
    general, steps = config.general, config.explore.chunk_steps
    initial = general.initial.read_bytes() if general.initial is not None else None
    found: dict[str, tuple[QPlan | StudentPlan, Mapping[str, int]]] = {}
    for number, line in enumerate(session.q_lines):
        seed = general.seed + 1000 * number
        plan = QPlan(line.name, config.training, config.q_learner, steps, seed, general.preset, commit, initial)
        found[line.name] = plan, {game: action_count(game) for game in line.games}
    if isinstance(config, OnlineConfig):
        actions = {game: action_count(game) for game in general.games}
        found[STUDENT] = (
            StudentPlan(
                config.student,
                config.training,
                config.learner,
                steps,
                config.student.eval_every,
                general.seed,
                rank=1,
                teachers={game: session.line_of(game).name for game in general.games},
                labels=config.student.labels,
            ),
            actions,
        )
    return found
