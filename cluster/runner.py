"""One run from beginning to end: folder, Redis, Ray, training, final evaluation, results."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

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
from cluster.run_folder import RunFolder, new_run, open_run
from cluster.serial_backend import SerialBackend
from cluster.services import RedisServices
from cluster.session import Session, evaluation_tasks, final_tasks
from cluster.stopping import StopRequest
from distill.config import RunConfig, flatten
from distill.errors import ConfigError, RunError
from distill.teachers import TeacherFile, choose_teachers
from learner.checkpoints import CheckpointStore
from learner.trainer import choose_device

log = logging.getLogger(__name__)

T = TypeVar("T")

SITTINGS = "sittings.jsonl"
FIXED_SETTINGS = ("name", "root", "games", "student", "optimizer")
"""What a run cannot change when it is resumed."""


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
    _require_device_and_buffer(config)
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
    folder, before = open_run(path)
    _require_same(path, before, config)
    teachers = choose_teachers(config.general.teachers, config.general.games)
    _require_device_and_buffer(config)
    with folder.claim():
        folder.write_config(config, folder.name, list(teachers), folder.path.parent)
    _run(config, folder, teachers, console)
    return folder


def _require_same(path: Path, before: RunConfig, after: RunConfig) -> None:
    """Refuse changes that the run's checkpoints, chunks or models would not fit."""
    old, new = flatten(before), flatten(after)
    changed = [f"{key} is {old[key]}, found {new[key]}" for key in FIXED_SETTINGS if old[key] != new[key]]
    if changed:
        raise ConfigError(f"resume {path}: {'; '.join(changed)}; a run keeps these, so start a new one with them")


def _require_device_and_buffer(config: RunConfig) -> None:
    """Find out before anything is made whether the learner's device and the user's Redis are there."""
    choose_device(config.learner.device)
    if config.buffer.buffer is not None:
        with connect(config.buffer.buffer) as client:
            require_server(client)


def _run(config: RunConfig, folder: RunFolder, teachers: dict[str, TeacherFile], console: Console) -> None:
    sitting = len(folder.rows(SITTINGS))
    handler = logging.FileHandler(folder.path / "run.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        with folder.claim(), StopRequest() as stop, contextlib.ExitStack() as stack:
            server = None
            url = config.buffer.buffer
            if url is None:
                server = stack.enter_context(PrivateRedis(folder.redis))
                url = server.url
            limits = Limits(config.buffer.capacity, config.buffer.backlog, config.buffer.shards)
            services = RedisServices(BufferAddress(url, folder.name, tuple(teachers), limits), folder.path)
            folder.append(SITTINGS, {"sitting": sitting})
            session = Session(config, folder, teachers, services.registry(), sitting)
            placement = place(config, len(teachers), available_cores())
            backend: Backend
            if config.general.serial:
                backend = SerialBackend(session, services, placement.learner_threads)
            else:
                stack.enter_context(private_ray(placement.cores))
                backend = RayBackend(session, services, placement)
            _see_through(session, backend, _Watch(stop, server, services, session), console)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@dataclass
class _Watch:
    """Goes along with the steps of a run: ends them when the user asks to, and keeps the private Redis alive."""

    stop: StopRequest
    server: PrivateRedis | None
    services: RedisServices
    session: Session

    def over(self, steps: Iterator[T]) -> Iterator[T]:
        """Pass steps on until the user asks to stop."""
        while not self.stop.requested:
            self._revive_server()
            try:
                step = next(steps)
            except StopIteration:
                return
            yield step

    def _revive_server(self) -> None:
        if self.server is None or self.server.pid is not None:
            return
        self.server.start()
        self.session.restarts["redis"] += 1
        # Killed, it may have forgotten its newest second; connecting gives it back the models of the mirror.
        self.session.registry = self.services.registry()
        self.session.note("the run's redis-server had ended and was started again")


def _see_through(session: Session, backend: Backend, watch: _Watch, console: Console) -> None:
    session.note(f"run {session.folder.name}: {', '.join(session.teachers)} in {session.folder.path}")
    with Display(console, session) as display:
        try:
            for _ in watch.over(backend.train()):
                display.update()
        finally:
            backend.stop()
        display.update()
    evaluations: list[Evaluation] = []
    if session.progress.done:
        _choose_best(session, backend, watch)
        evaluations = _final_evaluation(session, backend, watch)
    if watch.stop.requested:
        console.print(f"stopped; go on with: distill run --resume {session.folder.path}", soft_wrap=True)
    else:
        write_outcome(session, evaluations, console)


def _choose_best(session: Session, backend: Backend, watch: _Watch) -> None:
    """Score the last version as well, so that it can be the best."""
    new = session.version > session.evaluated_version
    tasks = evaluation_tasks(session, session.version, fetch=True) if new else []
    store = CheckpointStore(session.folder.path / "checkpoints", session.config.learner.keep_last)
    for evaluation in watch.over(backend.evaluate(tasks)):
        scored = session.on_evaluation(evaluation) if evaluation is not None else None
        if scored is not None:
            store.record_score(scored.version, scored.score)
    if session.best is None and not watch.stop.requested:
        raise RunError(
            f"run {session.folder.name}: its student could not be published, see {session.folder.path / 'run.log'};"
            f" try again with `distill run --resume {session.folder.path}`"
        )


def _final_evaluation(session: Session, backend: Backend, watch: _Watch) -> list[Evaluation]:
    evaluations: list[Evaluation] = []
    episodes = session.config.evaluation.final_episodes
    if episodes and not watch.stop.requested:
        session.note(f"final evaluation: {episodes} episodes of teacher and student per game")
        for evaluation in watch.over(backend.evaluate(final_tasks(session))):
            if evaluation is not None:
                score = evaluation.score()
                session.note(f"{score.game}, {score.who}: mean {score.mean:.2f} of {score.episodes} episodes")
                evaluations.append(evaluation)
    return evaluations
