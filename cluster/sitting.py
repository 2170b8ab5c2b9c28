"""One sitting of a run of any kind: its folder is claimed, its log is open, its Redis and its Ray are there."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cluster.buffer.address import BufferAddress
from cluster.buffer.connection import connect, require_server
from cluster.buffer.push import Limits
from cluster.buffer.server import PrivateRedis
from cluster.logs import Origin, log_file
from cluster.ray_cluster import RayCluster, available_cores, ray_cluster
from cluster.run_folder import RunFolder
from cluster.run_session import RunSession
from cluster.services import RedisServices
from cluster.standard_output import lost_output
from cluster.stopping import StopRequest
from cluster.tensorboard import require_tensorboard
from distill.config import Settings, flatten
from distill.errors import ConfigError
from learner.trainer import choose_device

T = TypeVar("T")

SITTINGS = "sittings.jsonl"
LOG = "run.log"


@dataclass
class Sitting:
    """Goes along with the steps of a run: ends them when the user asks to, and keeps the private Redis alive.

    Attributes:
        services: how the run's processes connect.
        number: how often the run was resumed.
        cluster: the run's Ray; one host's cores where it does without.
        stop: whether the user has asked to stop.
        server: the run's own Redis, or None if it uses the user's.
    """

    services: RedisServices
    number: int
    cluster: RayCluster
    stop: StopRequest
    server: PrivateRedis | None
    _lost: str | None = None

    def over(self, steps: Iterator[T], session: RunSession) -> Iterator[T]:
        """Pass the steps of a session on until the user asks to stop."""
        while not self.stop.requested:
            self._revive_server(session)
            self._notice_lost_output(session)
            try:
                step = next(steps)
            except StopIteration:
                return
            yield step

    def _notice_lost_output(self, session: RunSession) -> None:
        lost = lost_output()
        if lost != self._lost:
            self._lost = lost
            session.note(f"{lost}; the run goes on, and its lines are in {session.folder.path / LOG}")

    def _revive_server(self, session: RunSession) -> None:
        if self.server is None or self.server.pid is not None:
            return
        self.server.start()
        # Killed, it may have forgotten its newest second; connecting gives it back the models of the mirror.
        session.on_redis_restart(self.services)
        session.restarts["redis"] += 1
        session.note("the run's redis-server had ended and was started again")


@contextlib.contextmanager
def open_sitting(
    folder: RunFolder, settings: Settings, games: Sequence[str], *, readers: int, on_ray: bool = True
) -> Generator[Sitting]:
    """Claim a run, write its log, and start what it needs; all of it ends with the sitting.

    Args:
        folder: the run's.
        settings: of the run.
        games: its games.
        readers: learners that read every game.
        on_ray: whether it needs Ray.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    config = settings.buffer
    number = len(folder.rows(SITTINGS))
    origin = Origin(folder.name, settings.command)
    with (
        log_file(folder.path / LOG, origin, as_json=settings.monitoring.log_json),
        folder.claim(),
        StopRequest() as stop,
        contextlib.ExitStack() as stack,
    ):
        server = None if config.buffer else stack.enter_context(PrivateRedis(folder.redis))
        urls = config.buffer or (server.url if server else "")
        limits = Limits(config.capacity, config.backlog, config.shards, readers)
        services = RedisServices(BufferAddress(urls, folder.name, tuple(games), limits), folder.path)
        folder.append(SITTINGS, {"sitting": number})
        cluster = RayCluster(available_cores())
        if on_ray:
            cluster = stack.enter_context(ray_cluster(settings.general.address, config))
        yield Sitting(services, number, cluster, stop, server)


def require_surroundings(config: Settings, games: Sequence[str]) -> None:
    """Find out before anything is made whether the learner's device, the user's Redis and wanted extras are there.

    Args:
        config: of the run.
        games: its games.

    Raises:
        DistillError: with what is missing.
    """
    if config.general.address is None:
        # On a cluster the learner's node may have what this one lacks.
        choose_device(config.training.device)
    buffer = config.buffer
    if buffer.buffer is not None:
        limits = Limits(buffer.capacity, buffer.backlog, buffer.shards)
        for url in BufferAddress(buffer.buffer, "", tuple(games), limits).servers:
            with connect(url) as client:
                require_server(client)
    if config.monitoring.tensorboard:
        require_tensorboard()


def require_same(folder: RunFolder, before: Settings, after: Settings, fixed: Sequence[str]) -> None:
    """Refuse changes that a run's checkpoints, chunks or models would not fit.

    Raises:
        ConfigError: naming the settings.
    """
    old, new = flatten(before), flatten(after)
    changed = [f"{key} is {old[key]}, found {new[key]}" for key in fixed if old[key] != new[key]]
    if changed:
        raise ConfigError(
            f"resume {folder.path}: {'; '.join(changed)}; a run keeps these, so start a new one with them"
        )
