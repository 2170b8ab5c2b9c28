"""A run in one process without Ray, for debugging and exact tests: the same parts, taking turns."""

import math
from collections.abc import Iterator, Sequence

import torch

from actors.collecting_actor import CollectingActor, CollectorSpec, student_share
from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import Evaluation, EvaluationTask
from cluster.state.session import Session, evaluation_tasks, student_plan
from cluster.workers.episodes import SLICE_SECONDS, evaluate_serially
from distill.protocols import Services
from learner.student_trainer import StudentTrainer

STEPS_PER_TURN = 32
UPDATES_PER_SLICE = 50
STOP_SECONDS = 5.0


class SerialBackend:
    """Runs a session's parts in turn. Without a limit in minutes, the same seed gives the same student.

    Args:
        session: what is run.
        services: buffer and registry.
        threads: CPU threads of the learner.
    """

    def __init__(self, session: Session, services: Services, threads: int) -> None:
        self._session = session
        self._services = services
        self._threads = threads
        self._collectors: list[CollectingActor] = []
        self._trainer: StudentTrainer | None = None

    def train(self) -> Iterator[None]:
        """Train until the budget is spent; yield after every turn."""
        session, config = self._session, self._session.config
        torch.set_num_threads(self._threads)
        actions = {game: teacher.card.actions[game] for game, teacher in session.teachers.items()}
        trainer = self._trainer = StudentTrainer(
            student_plan(config), actions, self._services, session.folder.path, threaded=False
        )
        for game, teacher in session.teachers.items():
            for index in range(config.collect.actors):
                name, data, born = f"{game}-{index}", teacher.path.read_bytes(), session.sitting * 1000
                spec = CollectorSpec(game, data, config.collect, config.general.seed, name, index, born)
                self._collectors.append(CollectingActor(spec, self._services))
        evaluator = EvaluatingActor(self._services)
        while not session.progress.done:
            share = student_share(config.collect, trainer.updater.updates)
            for collector in self._collectors:
                session.on_report(collector.collect(SLICE_SECONDS * 20, share, STEPS_PER_TURN))
                yield None
            behind = True
            while behind and not session.progress.done:
                before = trainer.updater.updates
                session.on_progress(trainer.advance(math.inf, UPDATES_PER_SLICE))
                behind = trainer.updater.updates - before == UPDATES_PER_SLICE
                yield None
                yield from self._evaluate_newest(evaluator, trainer)

    def _evaluate_newest(self, evaluator: EvaluatingActor, trainer: StudentTrainer) -> Iterator[None]:
        session = self._session
        version = session.progress.version
        if version <= session.evaluated_version or session.progress.done:
            return
        for task in evaluation_tasks(session, version):
            evaluator.begin(task)
            while (evaluation := evaluator.advance(SLICE_SECONDS)) is None:
                yield None
            scored = session.on_evaluation(evaluation)
            if scored is not None:
                trainer.record_score(scored.version, scored.score)

    def stop(self) -> None:
        """Flush the collectors, publish the student if its budget is spent, and write a checkpoint."""
        for collector in self._collectors:
            collector.finish(STOP_SECONDS)
        if self._trainer is not None:
            if self._session.progress.done:
                self._session.on_published(self._trainer.publish_final(), self._trainer.updater.updates)
            self._trainer.close()

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks one after the other; yield results as they come, and None in between."""
        return evaluate_serially(tasks)
