"""A run on Ray: players, learners, an evaluator and the coordinator as actors, watched by a supervisor."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.collecting_actor import CollectorStatus
from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.coordinator import Coordinator, Orders
from cluster.redis.holder import COORDINATOR, learner_of
from cluster.state.kinds import Plans
from cluster.state.session import Session
from cluster.workers.actor_pool import ActorPool
from cluster.workers.episodes import POLL_SECONDS, SLICE_SECONDS, evaluate_on_ray
from cluster.workers.learner_ranks import FirstRank
from cluster.workers.placement import Placement
from cluster.workers.players import Players
from cluster.workers.shutdown import stop_at_once, stop_collecting, stop_learners
from cluster.workers.supervisor import Supervisor, Worker
from cluster.workers.wanted_actors import WantedActors
from learner.status import LearnerStatus
from learner.trainers import trainer_class

ASK_SECONDS = 1.0
"""Between two questions to the coordinator if there is nothing to tell it."""

Played = tuple[EvaluationTask, Evaluation]


class OnRay:
    """Runs a session's parts as Ray actors; Ray must be initialised.

    Args:
        session: what is run.
        placement: cores and threads.
        wanted: how many players each game is to have.
        plans: what each lineage's learner trains, and A of its games, see `plans_of`.
    """

    def __init__(self, session: Session, placement: Placement, wanted: WantedActors, plans: Plans) -> None:
        self._session = session
        self._placement = placement
        self._plans = plans
        self._players = Players(session)
        players = session.kind.players
        assert players is not None, "a run of recorded data is one process"
        self._role = players.role
        self._supervisor = Supervisor(self._on_restart, trouble=placement.cluster.trouble)
        self._pool = ActorPool(self._supervisor, self._role, session, wanted, placement, self._player)
        self._tasks: tuple[EvaluationTask, ...] = ()
        self._playing: EvaluationTask | None = None
        self._untold: list[Played] = []
        self._told = 0
        self._ask_at = self._retry_at = 0.0
        self._unsaved = ""
        self._ended = set[str]()
        self._judged = defaultdict[str, dict[int, float]](dict)
        self._learning_ends = self._learning_ended = False
        self._asked_since_end = self._answered_since_end = False

    def train(self) -> Iterator[None]:
        """Start the actors, train until the budget is spent, decide on the last candidates; yield often."""
        self._supervisor.add(self._coordinator())
        for lineage in self._plans:
            self._supervisor.add(self._learner(lineage))
        self._pool.start()
        self._supervisor.add(self._evaluator())
        while not self._session.done:
            self._pool.adjust()
            yield from self._turn()
        self._stop_playing()
        self._learning_ends = True
        while len(self._ended) < len(self._plans):
            yield from self._turn()
        self._stop_learning()
        # The last versions are candidates too. What the coordinator was asked before does not know of them.
        self._learning_ended = True
        while not self._answered_since_end or self._untold or any(task.purpose == "look" for task in self._tasks):
            yield from self._turn()
        # The last row of metrics is to tell what was decided at the end.
        self._session.write_metrics()

    def stop(self) -> str:
        """Flush the players, write checkpoints, end all actors; see `Workers`."""
        self._stop_learning()
        for role in ("evaluator", "coordinator"):
            stop_at_once(self._supervisor, role)
        self._session.actors = self._supervisor.counts()
        return self._unsaved

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks on as many evaluators as there are cores; yield results as they come, and None in between."""
        return evaluate_on_ray(tasks, self._placement.cluster.now(), self._on_restart)

    def _turn(self) -> Iterator[None]:
        for worker, answer in self._supervisor.poll(POLL_SECONDS):
            if isinstance(answer, LearnerStatus):
                self._session.on_learner(answer)
            elif isinstance(answer, CollectorStatus):
                self._session.on_player(answer)
            elif isinstance(answer, Evaluation):
                self._on_evaluation(answer)
            elif isinstance(answer, str) and answer:
                self._on_outage(worker, answer)
            elif isinstance(answer, int):
                self._on_last_version(worker, answer)
            elif isinstance(answer, Orders):
                self._on_orders(answer)
        self._session.actors = self._pool.counts()
        yield None

    def _stop_playing(self) -> None:
        self._pool.close()
        stop_collecting(self._supervisor, self._role, self._session, done=self._session.done)
        self._pool.release()

    def _stop_learning(self) -> None:
        self._stop_playing()
        # What ended before does not end again.
        self._unsaved = self._unsaved or stop_learners(self._supervisor, self._session, done=self._session.done)

    def _player(self, game: str, index: int, options: Mapping[str, Any]) -> Worker:
        players, services = self._players, self._session.services.for_actors()
        actor = ray.remote(players.actor)

        def make(starts: int) -> Any:
            return actor.options(**options).remote(players.spec(game, index, starts), services)

        return Worker(
            f"{game}-{index}", self._role, make, lambda handle: handle.advance.remote(SLICE_SECONDS, players.told(game))
        )

    def _learner(self, lineage: str) -> Worker:
        session, options = self._session, self._placement.learner
        plan, actions = self._plans[lineage]
        trainer, role = ray.remote(trainer_class(plan)), learner_of(lineage)

        def make(starts: int) -> Any:
            services = session.services_of(role, starts)
            learner: Any
            if plan.ranks == 1:
                learner = trainer.options(**options).remote(plan, actions, services, session.folder.path, threaded=True)
            else:
                learner = (
                    ray.remote(FirstRank)
                    .options(**options)
                    .remote(
                        plan, actions, services, session.folder.path, options=options, host=self._placement.cluster.host
                    )
                )
            # What its predecessor was told may not be in the manifest that it reads.
            for version, score in self._judged[lineage].items():
                learner.record_score.remote(version, score)
            return learner

        def submit(handle: Any) -> Any:
            if self._learning_ends:
                # A last version that the registry does not take now is tried again.
                owed = role not in self._ended and time.monotonic() >= self._retry_at
                return handle.publish_final.remote() if owed else None
            status = session.learners.get(lineage)
            return None if status is not None and status.done else handle.advance.remote(SLICE_SECONDS)

        return Worker(role, "learner", make, submit, essential=True, processes=plan.ranks)

    def _evaluator(self) -> Worker:
        evaluator = ray.remote(EvaluatingActor)

        def make(starts: int) -> Any:
            del starts
            # What its predecessor did not finish is still among the coordinator's tasks.
            self._playing = None
            return evaluator.options(**self._placement.actor).remote(self._session.services.for_actors())

        def submit(handle: Any) -> Any:
            if self._playing is not None:
                return handle.advance.remote(SLICE_SECONDS)
            known = [_key(task) for task, _ in self._untold]
            if time.monotonic() >= self._retry_at:
                self._playing = next((task for task in self._tasks if _key(task) not in known), None)
            return None if self._playing is None else handle.begin.remote(self._playing)

        return Worker("evaluator", "evaluator", make, submit, depth=1)

    def _coordinator(self) -> Worker:
        session, coordinator = self._session, ray.remote(Coordinator)
        scores = {game: teacher.scores for game, teacher in session.teachers.items()}

        def make(starts: int) -> Any:
            kind, services = session.kind, session.services_of(COORDINATOR, starts)
            # It writes into the run's folder, which is where this process is; it waits most of the time.
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            return coordinator.options(num_cpus=0, scheduling_strategy=here).remote(
                kind.lineages, services, kind.ruled_by(scores), session.config.general.seed
            )

        def submit(handle: Any) -> Any:
            now = time.monotonic()
            if now < self._retry_at or (not self._untold and now < self._ask_at):
                return None
            self._told = len(self._untold)
            self._asked_since_end = self._learning_ended
            return handle.ask.remote(list(self._untold), self._playing)

        return Worker(COORDINATOR, "coordinator", make, submit, depth=1)

    def _on_evaluation(self, evaluation: Evaluation) -> None:
        assert self._playing is not None, "an evaluator only answers what it was given"
        self._session.on_evaluation(self._playing, evaluation)
        self._untold.append((self._playing, evaluation))
        self._playing = None

    def _on_last_version(self, worker: Worker, version: int) -> None:
        if version:
            self._ended.add(worker.name)
        else:
            self._retry_at = time.monotonic() + ASK_SECONDS

    def _on_outage(self, worker: Worker, reason: str) -> None:
        """Wait for the registry, or for a version that the coordinator brings back to it; then try again."""
        if worker.role == "evaluator":
            self._playing = None
        else:
            self._told = 0
        self._retry_at = time.monotonic() + ASK_SECONDS
        self._session.on_outage(worker.name, reason)

    def _on_orders(self, orders: Orders) -> None:
        del self._untold[: self._told]
        self._told = 0
        self._tasks = orders.tasks
        self._ask_at = time.monotonic() + ASK_SECONDS
        self._answered_since_end = self._asked_since_end
        self._session.on_orders(orders)
        for judged in orders.judged:
            self._judged[judged.lineage][judged.version] = judged.score
            for learner in self._supervisor.handles_of(learner_of(judged.lineage)):
                learner.record_score.remote(judged.version, judged.score)

    def _on_restart(self, worker: Worker, reason: str) -> None:
        self._session.on_restart(worker.name, worker.role, reason)


def _key(task: EvaluationTask) -> tuple[str, int, str, str, int]:
    return task.lineage, task.version, task.game, task.purpose, task.block
