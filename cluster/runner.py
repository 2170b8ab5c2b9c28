"""One distillation from beginning to end: folder, Redis, Ray, training, final evaluation, results."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from actors.evaluation import Evaluation, EvaluationTask
from cluster.actor_counts import ActorCounts
from cluster.outcome import write_outcome
from cluster.placement import place
from cluster.ray_backend import RayBackend
from cluster.run_folder import RunFolder, new_run, open_run
from cluster.run_view import RunView
from cluster.serial_backend import SerialBackend
from cluster.session import Session, evaluation_tasks, final_tasks
from cluster.shell import command_line
from cluster.sitting import Sitting, open_sitting, require_same, require_surroundings
from cluster.training import Training, trained
from distill.config import RunConfig
from distill.errors import RunError
from distill.teachers import TeacherFile, choose_teachers
from learner.checkpoints import CheckpointStore
from learner.student_trainer import LINE

log = logging.getLogger(__name__)

FIXED_SETTINGS = ("name", "root", "games", "student", "optimizer")
"""What a run cannot change when it is resumed."""
ROLES = ("collector", "learner", "evaluator")


class Backend(Training, Protocol):
    """What `SerialBackend` and `RayBackend` have in common."""

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks; yield results as they come, and None in between."""
        ...


def start_run(config: RunConfig, console: Console) -> RunFolder:
    """Make a new run and see it through, or until it is asked to stop.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    teachers = choose_teachers(config.general.teachers, config.general.games)
    require_surroundings(config, list(teachers))
    folder = new_run(config, list(teachers))
    _run(config, folder, teachers, console)
    return folder


def resume_run(path: Path, config: RunConfig, console: Console) -> RunFolder:
    """Go on with a run from its newest checkpoint.

    Args:
        path: the run's folder.
        config: its configuration, with whatever the user changed.
        console: where to draw.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    folder, before = open_run(RunConfig, path)
    require_same(folder, before, config, FIXED_SETTINGS)
    teachers = choose_teachers(config.general.teachers, config.general.games)
    require_surroundings(config, list(teachers))
    with folder.claim():
        folder.write_config(config, folder.name, list(teachers), folder.path.parent)
    _run(config, folder, teachers, console)
    return folder


def _run(config: RunConfig, folder: RunFolder, teachers: dict[str, TeacherFile], console: Console) -> None:
    with prepared(config, folder, teachers) as (session, backend, sitting):
        _see_through(session, backend, sitting, console)


@contextmanager
def prepared(
    config: RunConfig, folder: RunFolder, teachers: dict[str, TeacherFile]
) -> Generator[tuple[Session, Backend, Sitting]]:
    """Open a sitting of a run with all that trains in it; it trains when its backend is told to.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    on_ray = not config.general.serial
    with open_sitting(folder, config, list(teachers), readers=1, on_ray=on_ray) as sitting:
        counts = ActorCounts.of(folder, config, list(teachers))
        # Every game's collectors, and the evaluator.
        placement = place(sum(counts.wanted().values()) + 1, 1, config.training, sitting.cluster)
        session = Session(folder, config, teachers, sitting.services.registry(LINE), sitting=sitting.number)
        backend: Backend
        if config.general.serial:
            backend = SerialBackend(session, sitting.services, placement.learner_threads)
        else:
            backend = RayBackend(session, sitting.services, placement, counts)
        yield session, backend, sitting


def _see_through(session: Session, backend: Backend, sitting: Sitting, console: Console) -> None:
    session.note(f"run {session.folder.name}: {', '.join(session.teachers)} in {session.folder.path}")
    evaluations: list[Evaluation] = []
    view, monitoring = RunView(session), session.config.monitoring
    with trained(session, backend, view, sitting, monitoring, ROLES, console) as metrics:
        if session.progress.done:
            _choose_best(session, backend, sitting)
            metrics.update(at_once=True)
            evaluations = _final_evaluation(session, backend, sitting)
    if sitting.stop.requested:
        console.print(f"stopped; go on with: {_resume(session)}", soft_wrap=True)
    else:
        write_outcome(session, evaluations, console)


def _resume(session: Session) -> str:
    return command_line("distill", "run", "--resume", session.folder.path)


def _choose_best(session: Session, backend: Backend, sitting: Sitting) -> None:
    """Score the last version as well, so that it can be the best."""
    new = session.version > session.evaluated_version
    tasks = evaluation_tasks(session, session.version, fetch=True) if new else []
    store = CheckpointStore(session.folder.path / "checkpoints" / LINE, session.config.training.keep_last)
    for evaluation in sitting.over(backend.evaluate(tasks), session):
        scored = session.on_evaluation(evaluation) if evaluation is not None else None
        if scored is not None:
            store.record_score(scored.version, scored.score)
    if session.best is None and not sitting.stop.requested:
        raise RunError(
            f"run {session.folder.name}: its student could not be published, see {session.folder.path / 'run.log'};"
            f" try again with `{_resume(session)}`"
        )


def _final_evaluation(session: Session, backend: Backend, sitting: Sitting) -> list[Evaluation]:
    evaluations: list[Evaluation] = []
    episodes = session.config.evaluation.final_episodes
    if episodes and not sitting.stop.requested:
        session.note(f"final evaluation: {episodes} episodes of teacher and student per game")
        for evaluation in sitting.over(backend.evaluate(final_tasks(session)), session):
            if evaluation is not None:
                score = evaluation.score()
                session.note(f"{score.game}, {score.who}: mean {score.mean:.2f} of {score.episodes} episodes")
                evaluations.append(evaluation)
    return evaluations
