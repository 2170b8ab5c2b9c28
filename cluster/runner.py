"""One run from beginning to end: folder, Redis, Ray, training, final evaluation, results."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from actors.evaluating_actor import EvaluationTask
from actors.evaluator import Evaluation
from cluster.buffer.address import BufferAddress
from cluster.buffer.connection import connect, require_server
from cluster.buffer.push import Limits
from cluster.buffer.server import PrivateRedis
from cluster.display import Display
from cluster.outcome import write_outcome
from cluster.placement import available_cores, place
from cluster.private_ray import private_ray
from cluster.ray_backend import RayBackend
from cluster.registry import RedisModelRegistry
from cluster.run_folder import RunFolder, new_run, open_run
from cluster.serial_backend import SerialBackend
from cluster.services import RedisServices
from cluster.session import Session, evaluation_tasks
from cluster.stopping import StopRequest
from distill.config import RunConfig
from distill.errors import ConfigError
from distill.games import reset_seed
from distill.teachers import TeacherFile, choose_teachers
from learner.checkpoints import CheckpointStore

log = logging.getLogger(__name__)

SITTINGS = "sittings.jsonl"


class Backend(Protocol):
    """What `SerialBackend` and `RayBackend` have in common."""

    def train(self) -> Iterator[None]:
        """Train until the budget is spent; yield often."""
        ...

    def stop(self) -> None:
        """Flush, publish, checkpoint, end."""
        ...

    def evaluate(self, tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
        """Play tasks; yield results as they come, and None in between."""
        ...


def start_run(config: RunConfig, console: Console) -> RunFolder:
    """Make a new run and see it through, or until it is asked to stop.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    teachers = choose_teachers(config.general.teachers, config.general.games)
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
    folder, _ = open_run(path)
    teachers = choose_teachers(config.general.teachers, config.general.games)
    with folder.claim():
        folder.write_config(config, folder.name, list(teachers), folder.path.parent)
    _run(config, folder, teachers, console)
    return folder


def _run(config: RunConfig, folder: RunFolder, teachers: dict[str, TeacherFile], console: Console) -> None:
    sitting = len(folder.rows(SITTINGS))
    handler = logging.FileHandler(folder.path / "run.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        with folder.claim(), StopRequest() as stop, contextlib.ExitStack() as stack:
            services = _services(config, folder, tuple(teachers), stack)
            folder.append(SITTINGS, {"sitting": sitting})
            registry = RedisModelRegistry(connect(services.address.url), folder.name, folder.path)
            session = Session(config, folder, teachers, registry, sitting)
            backend: Backend
            if config.general.serial:
                backend = SerialBackend(session, services)
            else:
                cores = available_cores()
                stack.enter_context(private_ray(cores))
                backend = RayBackend(session, services, place(config, len(teachers), cores))
            _see_through(session, backend, stop, console)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _services(
    config: RunConfig, folder: RunFolder, games: tuple[str, ...], stack: contextlib.ExitStack
) -> RedisServices:
    url = config.buffer.buffer
    if url is None:
        url = stack.enter_context(PrivateRedis(folder.redis)).url
    client = connect(url)
    require_server(client)
    client.close()
    limits = Limits(config.buffer.capacity, config.buffer.backlog, config.buffer.shards)
    return RedisServices(BufferAddress(url, folder.name, games, limits), folder.path)


def _see_through(session: Session, backend: Backend, stop: StopRequest, console: Console) -> None:
    session.note(f"run {session.folder.name}: {', '.join(session.teachers)} in {session.folder.path}")
    with Display(console, session) as display:
        try:
            for _ in backend.train():
                display.update()
                if stop.requested:
                    break
        finally:
            backend.stop()
        display.update()
    if stop.requested:
        console.print(f"stopped; go on with: distill run --resume {session.folder.path}", soft_wrap=True)
        return
    _choose_best(session, backend)
    settings = session.config.evaluation
    evaluations: list[Evaluation] = []
    if settings.final_episodes:
        session.note(f"final evaluation: {settings.final_episodes} episodes of teacher and student per game")
        for evaluation in backend.evaluate(_final_tasks(session)):
            if evaluation is not None:
                score = evaluation.score()
                session.note(f"{score.game}, {score.who}: mean {score.mean:.2f} of {score.episodes} episodes")
                evaluations.append(evaluation)
            if stop.requested:
                console.print(f"stopped; go on with: distill run --resume {session.folder.path}", soft_wrap=True)
                return
    write_outcome(session, evaluations, console)


def _choose_best(session: Session, backend: Backend) -> None:
    """Score the last version as well, so that it can be the best."""
    scored_versions = {row["version"] for row in session.folder.rows("evaluations.jsonl")}
    if session.version in scored_versions:
        return
    store = CheckpointStore(session.folder.path / "checkpoints", session.config.learner.keep_last)
    for evaluation in backend.evaluate(evaluation_tasks(session, session.version, fetch=True)):
        scored = session.on_evaluation(evaluation) if evaluation is not None else None
        if scored is not None:
            store.record_score(scored.version, scored.score)


def _final_tasks(session: Session) -> list[EvaluationTask]:
    if session.best is None:
        raise ConfigError(f"run {session.folder.name}: no student was evaluated, so there is no best one")
    settings = session.config.evaluation
    student = session.registry.fetch(session.best.version)
    return [
        EvaluationTask(
            who=who,
            game=game,
            version=version,
            model=model,
            episodes=settings.final_episodes,
            lanes=settings.eval_lanes,
            epsilon=settings.eval_epsilon,
            # Seeds that chose the best version would flatter it.
            seed=reset_seed(session.config.general.seed, 2),
        )
        for game, teacher in session.teachers.items()
        for who, version, model in (
            ("teacher", 0, teacher.path.read_bytes()),
            ("student", session.best.version, student),
        )
    ]
