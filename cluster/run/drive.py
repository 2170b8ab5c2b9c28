"""The whole way of a run on one page: open what it needs, train, evaluate the best models, leave the results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from actors.evaluation import Evaluation, EvaluationTask
from cluster.monitor.monitoring import Monitoring, monitored
from cluster.monitor.run_view import RunView
from cluster.monitor.terminal import Display
from cluster.monitor.timing_tree import print_timing
from cluster.run.after_training import evaluate_best, play_last_half
from cluster.run.resolved import resolved
from cluster.run.results import leave_results
from cluster.run.surroundings import Surroundings, opened
from cluster.state.folder import RunFolder
from cluster.state.given import GivenModels
from cluster.state.kinds import AnyConfig, plans_of
from cluster.state.session import Session
from cluster.workers.in_process import InProcess
from cluster.workers.on_ray import OnRay
from cluster.workers.placement import place
from cluster.workers.wanted_actors import WantedActors
from distill.errors import RunError
from distill.teachers import taus_of


@dataclass(frozen=True)
class Run:
    """What is to be driven.

    Attributes:
        folder: the run's.
        config: its configuration, with its games named.
        given: the model files that it was given.
    """

    folder: RunFolder
    config: AnyConfig
    given: GivenModels


class Workers(Protocol):
    """What `OnRay` and `InProcess` have in common."""

    def train(self) -> Iterator[None]:
        """Train until the budget is spent and the last candidates are decided on; yield often."""
        ...

    def stop(self) -> str:
        """Flush, publish, checkpoint, end; return what could not be saved, empty if all is."""
        ...

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks; yield results as they come, and None in between."""
        ...


def drive(run: Run, console: Console) -> None:
    """See a run through, or until the user asks to stop.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    with opened(run.folder, run.config) as surroundings:
        session, workers = prepare(run, surroundings)
        session.note(f"run {run.folder.name}: {', '.join(session.games)} in {run.folder.path}")
        evaluations: list[Evaluation] = []
        with monitored(session, run.config.monitoring) as monitoring:
            train(session, workers, surroundings, monitoring, console)
            if session.done and not surroundings.stop.requested:
                play_last_half(session, workers.evaluate, surroundings)
                evaluations = evaluate_best(session, workers.evaluate, surroundings)
        session.evaluations.require_paid()
        if surroundings.stop.requested:
            surroundings.tell_stop(session, console)
        else:
            leave_results(session, evaluations, console)


def prepare(run: Run, surroundings: Surroundings) -> tuple[Session, Workers]:
    """Return what is known of a run, and those who will do its work."""
    config = resolved(run.folder, run.config, surroundings.cluster)
    session = Session(run.folder, config, surroundings.services, run.given.teachers, surroundings.number)
    wanted = WantedActors.of(run.folder, config)
    plans = plans_of(config, session.kind, run.folder.commit(), run.given.initial, taus_of(run.given.teachers))
    players, learners = sum(wanted.wanted().values()), session.kind.learners
    # The evaluator plays beside them; where nobody does, it and the learner take turns. The coordinator takes no place.
    others = players + 1 if players else 0
    placement = place(others, learners, config.training, surroundings.cluster)
    if config.general.serial:
        return session, InProcess(session, placement.learner_threads, plans)
    return session, OnRay(session, placement, wanted, plans)


def train(
    session: Session, workers: Workers, surroundings: Surroundings, monitoring: Monitoring, console: Console
) -> None:
    """Train until the budget is spent or the user asks to stop; everything is saved in any case.

    Raises:
        RunError: if not everything could be saved.
    """
    unsaved = ""
    with Display(console, RunView(session)) as display:
        try:
            for _ in surroundings.over(workers.train(), session):
                display.update()
                monitoring.update()
        finally:
            unsaved = workers.stop()
        display.update()
    print_timing(session.folder.path, console)
    # What has ended must not look as if it were missing.
    monitoring.update(at_once=True)
    if unsaved:
        raise RunError(f"run {session.folder.name}: {unsaved}")
