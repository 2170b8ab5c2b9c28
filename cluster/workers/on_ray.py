"""A run on Ray: collectors, learner and evaluators as actors, watched by a supervisor."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ray

from actors.collecting_actor import CollectorSpec, CollectorStatus, student_share
from actors.evaluation import Evaluation, EvaluationTask
from actors.remote import RemoteCollector, RemoteEvaluator
from cluster.services import RedisServices
from cluster.state.session import Session, evaluation_tasks, student_plan
from cluster.workers.actor_pool import Crew
from cluster.workers.episodes import POLL_SECONDS, SLICE_SECONDS, evaluate_on_ray
from cluster.workers.placement import Placement
from cluster.workers.shutdown import stop_at_once, stop_collecting, stop_learners
from cluster.workers.supervisor import Supervisor, Worker
from cluster.workers.wanted_actors import ActorCounts
from learner.remote import RemoteLearner
from learner.status import LearnerStatus

log = logging.getLogger(__name__)


class RayBackend:
    """Runs a session's parts as Ray actors; Ray must be initialised.

    Args:
        session: what is run.
        services: buffer and registry, handed to every actor.
        placement: cores and threads.
        counts: how many collectors each game is to have.
    """

    def __init__(self, session: Session, services: RedisServices, placement: Placement, counts: ActorCounts) -> None:
        self._session = session
        self._services = services
        self._placement = placement
        self._supervisor = Supervisor(self._on_restart)
        self._tasks: deque[EvaluationTask] = deque()
        self._playing: EvaluationTask | None = None
        self._queued_version = session.evaluated_version
        self._crew = Crew(self._supervisor, "collector", session, counts, placement, self._collector)

    def train(self) -> Iterator[None]:
        """Start the actors and train until the budget is spent; yield a few times a second."""
        self._crew.start()
        self._supervisor.add(self._learner())
        self._supervisor.add(self._evaluator())
        while not self._session.progress.done:
            for _, answer in self._supervisor.poll(POLL_SECONDS):
                if isinstance(answer, LearnerStatus):
                    self._on_progress(answer)
                elif isinstance(answer, CollectorStatus):
                    self._session.on_report(answer)
                elif isinstance(answer, Evaluation):
                    self._on_evaluation(answer)
            self._crew.adjust()
            self._session.actors = self._crew.counts()
            yield None

    def stop(self) -> None:
        """Flush the collectors, publish the student if its budget is spent, write a checkpoint, end all actors."""
        done = self._session.progress.done
        self._crew.close()
        stop_collecting(self._supervisor, "collector", self._session, done=done)
        stop_at_once(self._supervisor, "evaluator")
        for version in stop_learners(self._supervisor, done=done):
            self._session.on_published(version, self._session.progress.updates)
        self._session.actors = self._supervisor.counts()

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks on as many evaluators as there are cores; yield results as they come, and None in between."""
        return evaluate_on_ray(tasks, self._placement.cluster.now(), self._on_restart)

    def _collector(self, game: str, index: int, options: Mapping[str, Any]) -> Worker:
        config = self._session.config
        name = f"{game}-{index}"
        teacher = ray.put(self._session.teachers[game].path.read_bytes())

        def make(incarnation: int) -> Any:
            # Lives of earlier sittings count too: a resumed run must not replay the episodes of its first sitting.
            born = self._session.sitting * 1000 + incarnation
            spec = CollectorSpec(
                game, ray.get(teacher, timeout=30.0), config.collect, config.general.seed, name, index, born
            )
            return RemoteCollector.options(**options).remote(spec, self._services.for_actors())

        def submit(handle: Any) -> Any:
            share = student_share(config.collect, self._session.progress.updates)
            return handle.collect.remote(SLICE_SECONDS, share)

        return Worker(name, "collector", make, submit)

    def _learner(self) -> Worker:
        session = self._session
        threads = self._placement.learner_threads

        def make(incarnation: int) -> Any:
            del incarnation
            actions = {game: teacher.card.actions[game] for game, teacher in session.teachers.items()}
            return RemoteLearner.options(**self._placement.learner).remote(
                student_plan(session.config), actions, self._services, session.folder.path, threads
            )

        return Worker("learner", "learner", make, lambda handle: handle.advance.remote(SLICE_SECONDS), essential=True)

    def _evaluator(self) -> Worker:
        def make(incarnation: int) -> Any:
            del incarnation
            if self._playing is not None:
                self._tasks.appendleft(self._playing)
                self._playing = None
            return RemoteEvaluator.options(**self._placement.actor).remote(self._services.for_actors())

        def submit(handle: Any) -> Any:
            if self._playing is None:
                if not self._tasks:
                    return None
                self._playing = self._tasks.popleft()
                return handle.begin.remote(self._playing)
            return handle.advance.remote(SLICE_SECONDS)

        return Worker("evaluator", "evaluator", make, submit, depth=1)

    def _on_progress(self, progress: LearnerStatus) -> None:
        self._session.on_progress(progress)
        if progress.version > self._queued_version and not progress.done:
            if self._tasks and self._tasks[-1].version != (self._playing.version if self._playing else 0):
                # The queue stays bounded: a version that nobody has begun to play gives way to a newer one.
                self._session.skip_evaluation(self._tasks[-1].version)
                self._tasks = deque(task for task in self._tasks if task.version != self._tasks[-1].version)
            self._queued_version = progress.version
            self._tasks.extend(evaluation_tasks(self._session, progress.version))

    def _on_evaluation(self, evaluation: Evaluation) -> None:
        self._playing = None
        scored = self._session.on_evaluation(evaluation)
        if scored is not None:
            for learner in self._supervisor.handles("learner"):
                learner.record_score.remote(scored.version, scored.score)

    def _on_restart(self, worker: Worker, reason: str) -> None:
        self._session.on_restart(worker.name, worker.role, reason)
