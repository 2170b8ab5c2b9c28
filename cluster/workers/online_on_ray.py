"""A run with Q-learners on Ray: explorers, learners, an evaluator and the coordinator, watched by a supervisor."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actors.collecting_actor import CollectorStatus
from actors.evaluation import Evaluation, EvaluationTask
from actors.exploring_actor import ExplorerSpec
from actors.remote import RemoteEvaluator, RemoteExplorer
from cluster.models.coordinator import FRESH, Orders
from cluster.state.online_session import OnlineSession, plans
from cluster.workers.actor_pool import Crew
from cluster.workers.episodes import POLL_SECONDS, SLICE_SECONDS, evaluate_on_ray
from cluster.workers.placement import Placement
from cluster.workers.remote_coordinator import RemoteCoordinator, coordinator_name
from cluster.workers.shutdown import stop_at_once, stop_collecting, stop_learners
from cluster.workers.supervisor import Supervisor, Worker
from cluster.workers.wanted_actors import ActorCounts
from distill.teach_config import OnlineConfig
from learner.remote import RemoteLearner
from learner.status import LearnerStatus

ASK_SECONDS = 1.0
"""Between two questions to the coordinator if there is nothing to tell it."""

Played = tuple[EvaluationTask, Evaluation]


class OnlineBackend:
    """Runs a session's parts as Ray actors; Ray must be initialised.

    Args:
        session: what is run.
        placement: cores and threads.
        counts: how many explorers each game is to have.
        commit: commit of this program, for the models' cards.
    """

    def __init__(self, session: OnlineSession, placement: Placement, counts: ActorCounts, commit: str) -> None:
        self._session = session
        self._placement = placement
        self._plans = plans(session, commit)
        self._supervisor = Supervisor(lambda worker, reason: session.on_restart(worker.name, worker.role, reason))
        self._crew = Crew(self._supervisor, "explorer", session, counts, placement, self._explorer)
        self._tasks: tuple[EvaluationTask, ...] = ()
        self._playing: EvaluationTask | None = None
        self._untold: list[Played] = []
        self._told = 0
        self._ask_at = 0.0
        self._answered_since_end = False

    def train(self) -> Iterator[None]:
        """Start the actors, train until the budget is spent, decide on the last candidates; yield often."""
        self._supervisor.add(self._coordinator())
        for line in self._plans:
            self._supervisor.add(self._learner(line))
        self._crew.start()
        self._supervisor.add(self._evaluator())
        while not self._session.done:
            self._crew.adjust()
            yield from self._turn()
        self._stop_learning()
        # The last versions are candidates too.
        self._answered_since_end = False
        while not self._answered_since_end or self._untold or any(task.block < FRESH for task in self._tasks):
            yield from self._turn()
        # The last line of metrics is to tell what was decided at the end.
        self._session.write_metrics()

    def _turn(self) -> Iterator[None]:
        for _, answer in self._supervisor.poll(POLL_SECONDS):
            if isinstance(answer, LearnerStatus):
                self._session.on_progress(answer)
            elif isinstance(answer, CollectorStatus):
                self._session.on_report(answer)
            elif isinstance(answer, Evaluation):
                self._on_evaluation(answer)
            elif isinstance(answer, Orders):
                self._on_orders(answer)
        self._session.actors = self._crew.counts()
        yield None

    def stop(self) -> None:
        """Flush the explorers, write checkpoints, end all actors."""
        self._stop_learning()
        for role in ("evaluator", "coordinator"):
            stop_at_once(self._supervisor, role)
        self._session.actors = self._supervisor.counts()

    def _stop_learning(self) -> None:
        self._crew.close()
        stop_collecting(self._supervisor, "explorer", self._session, done=self._session.done)
        stop_learners(self._supervisor, done=self._session.done)

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks on as many evaluators as there are cores; yield results as they come, and None in between."""

        def on_restart(worker: Worker, reason: str) -> None:
            self._session.on_restart(worker.name, worker.role, reason)

        return evaluate_on_ray(tasks, self._placement.cluster.now(), on_restart)

    def _explorer(self, game: str, index: int, options: Mapping[str, Any]) -> Worker:
        session, config = self._session, self._session.config
        name = f"{game}-{index}"
        stored = isinstance(config, OnlineConfig) and config.student.labels == "stored"

        def make(incarnation: int) -> Any:
            # Lives of earlier sittings count too: a resumed run must not replay the episodes of its first sitting.
            born = session.sitting * 1000 + incarnation
            line = session.line_of(game).name
            labels = "best" if stored else "acting"
            spec = ExplorerSpec(game, line, config.explore, config.general.seed, name, index, born, labels)
            return RemoteExplorer.options(**options).remote(spec, session.services.for_actors())

        def submit(handle: Any) -> Any:
            return handle.explore.remote(SLICE_SECONDS, session.game_steps(game))

        return Worker(name, "explorer", make, submit)

    def _learner(self, line: str) -> Worker:
        session, threads = self._session, self._placement.learner_threads
        plan, actions = self._plans[line]

        def make(incarnation: int) -> Any:
            del incarnation
            return RemoteLearner.options(**self._placement.learner).remote(
                plan, actions, session.services, session.folder.path, threads
            )

        def submit(handle: Any) -> Any:
            progress = session.progress.get(line)
            return None if progress is not None and progress.done else handle.advance.remote(SLICE_SECONDS)

        return Worker(f"learner of {line}", "learner", make, submit, essential=True)

    def _evaluator(self) -> Worker:
        def make(incarnation: int) -> Any:
            del incarnation
            # What its predecessor did not finish is still among the coordinator's tasks.
            self._playing = None
            return RemoteEvaluator.options(**self._placement.actor).remote(self._session.services.for_actors())

        def submit(handle: Any) -> Any:
            if self._playing is not None:
                return handle.advance.remote(SLICE_SECONDS)
            known = [_key(task) for task, _ in self._untold]
            self._playing = next((task for task in self._tasks if _key(task) not in known), None)
            return None if self._playing is None else handle.begin.remote(self._playing)

        return Worker("evaluator", "evaluator", make, submit, depth=1)

    def _coordinator(self) -> Worker:
        session = self._session
        name = coordinator_name(session.folder.name)

        def make(incarnation: int) -> Any:
            del incarnation
            config = session.config
            return RemoteCoordinator.options(**self._placement.actor, name=name).remote(
                session.lines, session.services, config.promotion, config.general.seed
            )

        def submit(handle: Any) -> Any:
            if not self._untold and time.monotonic() < self._ask_at:
                return None
            self._told = len(self._untold)
            return handle.advance.remote(list(self._untold), self._playing)

        return Worker("coordinator", "coordinator", make, submit, depth=1)

    def _on_evaluation(self, evaluation: Evaluation) -> None:
        assert self._playing is not None, "an evaluator only answers what it was given"
        self._session.on_evaluation(self._playing, evaluation)
        self._untold.append((self._playing, evaluation))
        self._playing = None

    def _on_orders(self, orders: Orders) -> None:
        del self._untold[: self._told]
        self._told = 0
        self._tasks = orders.tasks
        self._ask_at = time.monotonic() + ASK_SECONDS
        self._answered_since_end = True
        self._session.on_orders(orders)


def _key(task: EvaluationTask) -> tuple[str, int, str, int]:
    return task.line, task.version, task.game, task.block
