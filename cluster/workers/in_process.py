"""A run in one process without Ray, for debugging and exact tests: the same parts, taking turns."""

import math
import time
from collections.abc import Iterator, Sequence

import torch

from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.coordinator import Coordinator
from cluster.redis.holder import COORDINATOR, learner_of
from cluster.state.kinds import Plans
from cluster.state.session import Session
from cluster.workers.episodes import SLICE_SECONDS, evaluate_serially
from cluster.workers.players import Players, Playing
from distill.errors import BufferUnavailable, DistillError
from learner.trainer import Trainer
from learner.trainers import make_trainer

STEPS_PER_TURN = 32
UPDATES_PER_SLICE = 50
STOP_SECONDS = 5.0
RETRY_SECONDS = 0.5


class InProcess:
    """Runs a session's parts in turn. `distill run` without a limit in minutes gives one student for one seed.

    Args:
        session: what is run.
        threads: CPU threads of the learners.
        plans: what each lineage's learner trains, and A of its games, see `plans_of`.
    """

    def __init__(self, session: Session, threads: int, plans: Plans) -> None:
        self._session = session
        self._threads = threads
        self._plans = plans
        self._players: list[tuple[str, Playing]] = []
        self._trainers: dict[str, Trainer] = {}
        self._published: dict[str, int] = {}

    def train(self) -> Iterator[None]:
        """Train until the budget is spent, decide on the last candidates; yield after every turn."""
        session = self._session
        torch.set_num_threads(self._threads)
        for lineage, (plan, actions) in self._plans.items():
            trainer = make_trainer(plan, actions, session.services_of(learner_of(lineage)), session.folder.path)
            self._trainers[lineage] = trainer
        players = Players(session)
        for game in session.games:
            for index in range(session.kind.playing.actors):
                self._players.append((game, players.make(game, index)))
        scores = {game: teacher.scores for game, teacher in session.teachers.items()}
        coordinator = Coordinator(
            session.kind.lineages,
            session.services_of(COORDINATOR),
            session.kind.ruled_by(scores),
            session.config.general.seed,
        )
        evaluator = EvaluatingActor(session.services.for_actors())
        while not session.done:
            for game, player in self._players:
                session.on_player(player.advance(SLICE_SECONDS * 20, players.told(game), STEPS_PER_TURN))
                yield None
            for lineage in self._trainers:
                yield from self._learn(lineage, coordinator, evaluator)
        for lineage, trainer in self._trainers.items():
            while not trainer.publish_final():
                yield from self._wait(f"the learner of {lineage}", "its last version is not published")
        yield from self._evaluate(coordinator, evaluator)
        session.write_metrics()

    def _learn(self, lineage: str, coordinator: Coordinator, evaluator: EvaluatingActor) -> Iterator[None]:
        """Let a learner make all updates that its limiter allows, and decide on whatever it publishes meanwhile."""
        session, trainer = self._session, self._trainers[lineage]
        behind = True
        while behind and not session.done:
            before = trainer.updater.updates
            session.on_learner(trainer.advance(math.inf, UPDATES_PER_SLICE))
            behind = trainer.updater.updates - before == UPDATES_PER_SLICE
            yield None
            version = session.learners[lineage].version
            if version > self._published.get(lineage, 0):
                self._published[lineage] = version
                yield from self._evaluate(coordinator, evaluator)

    def _evaluate(self, coordinator: Coordinator, evaluator: EvaluatingActor) -> Iterator[None]:
        """Play all that the coordinator asks for."""
        results: list[tuple[EvaluationTask, Evaluation]] = []
        while True:
            try:
                orders = coordinator.advance(results)
            except BufferUnavailable as error:
                yield from self._wait("the coordinator", str(error))
                continue
            results = []
            self._session.on_orders(orders)
            for judged in orders.judged:
                self._trainers[judged.lineage].record_score(judged.version, judged.score)
            if not orders.tasks:
                return
            task = orders.tasks[0]
            if missing := evaluator.begin(task):
                yield from self._wait("the evaluator", missing)
                continue
            while (evaluation := evaluator.advance(SLICE_SECONDS)) is None:
                yield None
            self._session.on_evaluation(task, evaluation)
            results = [(task, evaluation)]

    def _wait(self, who: str, reason: str) -> Iterator[None]:
        self._session.on_outage(who, reason)
        time.sleep(RETRY_SECONDS)
        # The run's own Redis is started again between two steps.
        yield None

    def _publish_last(self) -> None:
        for trainer in self._trainers.values():
            trainer.publish_final()

    def stop(self) -> str:
        """Flush the players, publish what learned if the budget is spent, and write checkpoints; see `Workers`."""
        for _, player in self._players:
            player.finish(STOP_SECONDS)
        unsaved: list[str] = []
        if self._session.done:
            try:
                self._publish_last()
            except DistillError as error:
                unsaved.append(str(error))
        unsaved += [self._session.on_closed(trainer.close()) for trainer in self._trainers.values()]
        return "; ".join(filter(None, unsaved))

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks one after the other; yield results as they come, and None in between."""
        return evaluate_serially(tasks)
