"""What is known of a running run, from its actors' reports: for the display, the metrics file and the scores."""

import logging
import time
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from actors.evaluation import Evaluation, EvaluationTask
from cluster.services import RedisServices
from cluster.state.folder import EVALUATIONS
from cluster.state.run_session import RunSession, learner_metrics
from distill.config import RunConfig
from distill.errors import BufferUnavailable
from distill.games import SeedStream, reset_seed
from distill.protocols import STUDENT, ModelRegistry
from distill.scores import GameScore, compare
from distill.teachers import TeacherFile
from learner.status import LearnerStatus
from learner.student_trainer import StudentPlan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """A version whose games have all been played.

    Attributes:
        version: the student's version.
        score: mean over games of student / teacher, the score by which the best is chosen.
    """

    version: int
    score: float


@dataclass
class Session(RunSession):
    """State of one sitting of a distillation.

    Attributes:
        config: the run's configuration.
        teachers: teacher of every game.
        registry: the registry of the run's students.
        progress: the learner's newest report.
        scores: newest student score per game.
        ratios: newest student / teacher per game, where it is known.
        best: best version so far.
        best_means: its mean score per game.
        promotions: how often another version became the best.
        evaluated_version: newest version whose games have all been played, 0 before the first.
        version: the student's newest version, 0 before the first.
        skipped_evaluations: versions that were never played because a newer one was waiting.
    """

    config: RunConfig
    teachers: dict[str, TeacherFile]
    registry: ModelRegistry
    progress: LearnerStatus = field(default_factory=LearnerStatus)
    scores: dict[str, GameScore] = field(default_factory=dict[str, GameScore])
    ratios: dict[str, float] = field(default_factory=dict[str, float])
    best: Scored | None = None
    best_means: dict[str, float] = field(default_factory=dict[str, float])
    promotions: int = 0
    evaluated_version: int = 0
    version: int = 0
    skipped_evaluations: int = 0
    _pending: dict[int, dict[str, Evaluation]] = field(default_factory=dict[int, dict[str, Evaluation]])
    _updates: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        for row in self.folder.rows(EVALUATIONS):
            self.evaluated_version = max(self.evaluated_version, row["version"])
            if self.best is None or row["score"] > self.best.score:
                self.best = Scored(row["version"], row["score"])

    def on_redis_restart(self, services: RedisServices) -> None:
        """Connect again to the registry, which gives a restarted Redis the models of the mirror."""
        self.registry = services.registry(STUDENT)

    def on_progress(self, progress: LearnerStatus) -> None:
        """Take the learner's report, and write a line of metrics every few seconds."""
        if progress.last_rejection and progress.last_rejection != self.progress.last_rejection:
            self.note(f"chunk refused: {progress.last_rejection}")
        self.progress = progress
        self.on_published(progress.version, progress.version_updates)
        if self.metrics_are_due(at_once=progress.done):
            self.append_metrics(self.metrics())

    def on_published(self, version: int, updates: int) -> None:
        """Take note of the student's newest version and of how many updates it had made."""
        self.version = version
        self._updates[version] = updates

    def on_evaluation(self, evaluation: Evaluation) -> Scored | None:
        """Take one game's evaluation of a student version; return the version's score once all its games are played."""
        games = self._pending.setdefault(evaluation.version, {})
        games[evaluation.game] = evaluation
        self.scores[evaluation.game] = evaluation.score()
        self.evaluated[evaluation.game] += 1
        if set(games) != set(self.teachers):
            return None
        del self._pending[evaluation.version]
        ratios = {game: self._ratio(result) for game, result in games.items()}
        scored = Scored(evaluation.version, fmean(ratios.values()))
        self.evaluated_version = max(self.evaluated_version, scored.version)
        self.folder.append(EVALUATIONS, {
            "version": scored.version,
            "updates": self._updates[scored.version],
            "score": scored.score,
            "games": {game: result.to_json() for game, result in games.items()},
        })  # fmt: skip
        text = ", ".join(f"{g} {r.score().mean:.1f} ({ratios[g]:.2f} of the teacher)" for g, r in games.items())
        self.note(f"student {scored.version}: {text}")
        self.ratios = {game: ratio for game, ratio in ratios.items() if self.teachers[game].scores}
        if self.best is None or scored.score > self.best.score:
            self.best = scored
            self.best_means = {game: result.score().mean for game, result in games.items()}
            self.promotions += 1
            self._assign_best()
        return scored

    def _assign_best(self) -> None:
        assert self.best is not None
        try:
            self.registry.assign("best", self.best.version)
        except BufferUnavailable as error:
            self.note(f"student {self.best.version} is the best, but the registry does not know it yet: {error}")

    def skip_evaluation(self, version: int) -> None:
        """Count a version that gave way to a newer one before anybody played it."""
        self.skipped_evaluations += 1
        self.note(
            f"student {version} is not evaluated: a newer one was waiting; raise --eval-every or lower --eval-episodes"
        )

    def _ratio(self, evaluation: Evaluation) -> float:
        """Return student / teacher; the mean where the teacher has no usable score, which still ranks versions."""
        teacher = self.teachers[evaluation.game].scores
        if not teacher:
            return evaluation.score().mean
        ratio = compare(evaluation.score(), GameScore.of(evaluation.game, "teacher", 0, teacher)).ratio.value
        return evaluation.score().mean if ratio is None else ratio

    def metrics(self) -> dict[str, Any]:
        """Return one line of metrics."""
        progress = self.progress
        return {
            "time": time.time(),
            **learner_metrics(progress),
            "samples": progress.samples,
            "replay_transitions": progress.replay,
            **self.actor_metrics(),
        }


def student_plan(config: RunConfig) -> StudentPlan:
    """Return what the student's trainer needs to know."""
    return StudentPlan(
        config.student,
        config.training,
        config.learner,
        config.collect.chunk_steps,
        config.evaluation.eval_every,
        config.general.seed,
    )


def evaluation_tasks(session: Session, version: int, *, fetch: bool = False) -> list[EvaluationTask]:
    """Return one task a game that plays a student version, always from the same seeds.

    Args:
        session: the run.
        version: the student's version.
        fetch: put the model into the tasks, for evaluators that have no registry.
    """
    model = session.registry.fetch(version) if fetch else None
    episodes = session.config.evaluation.eval_episodes
    return [_task(session, "student", game, version, model, episodes, SeedStream.CHOOSING) for game in session.teachers]


def final_tasks(session: Session) -> list[EvaluationTask]:
    """Return one task a game and player that plays the teacher and the best student."""
    assert session.best is not None, "a run that is done has evaluated its last version"
    version, episodes = session.best.version, session.config.evaluation.final_episodes
    student = session.registry.fetch(version)
    return [
        _task(session, *player, episodes, SeedStream.FINAL)
        for game, teacher in session.teachers.items()
        for player in (("teacher", game, 0, teacher.path.read_bytes()), ("student", game, version, student))
    ]


def _task(
    session: Session, who: str, game: str, version: int, model: bytes | None, episodes: int, stream: SeedStream
) -> EvaluationTask:
    settings = session.config.evaluation
    seed = reset_seed(session.config.general.seed, stream)
    return EvaluationTask(who, game, version, model, episodes, settings.eval_lanes, settings.eval_epsilon, seed)
