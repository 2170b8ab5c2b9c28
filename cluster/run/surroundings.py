"""What a run needs around it: its folder is claimed, its log is open, its Redis and its Ray are there."""

import contextlib
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.monitor.logs import LogFile, Origin, log_file
from cluster.output.standard_output import lost_output
from cluster.ray.cluster import RayCluster, available_cores, ray_cluster
from cluster.redis.holder import RUN, Holder, incarnation_of
from cluster.redis.private_server import PrivateRedis
from cluster.run.claim import NameClaim
from cluster.run.ending import kept, told_what_is_kept
from cluster.run.stop_request import StopRequest
from cluster.services import FolderServices, RedisServices, RunServices
from cluster.state.folder import LOG, SITTINGS, RunFolder
from cluster.state.kinds import AnyConfig, kind_of
from cluster.state.session import Session
from distill.errors import RunError
from distill.files import remove_leftovers
from learner.refusals import REFUSED_SECONDS

LOOK_SECONDS = 5.0

T = TypeVar("T")


@dataclass
class Surroundings:
    """Goes along with the steps of a run: ends them when the user asks to, and keeps the private Redis alive.

    Attributes:
        services: how the run's processes connect.
        number: how often the run was resumed.
        cluster: the run's Ray; one host's cores where it does without.
        stop: whether the user has asked to stop.
        server: the run's own Redis, or None if it uses the user's.
        log: the run's.
    """

    services: RunServices
    number: int
    cluster: RayCluster
    stop: StopRequest
    server: PrivateRedis | None
    log: LogFile
    _look_at: float = 0.0
    _refused_at: float | None = None
    _lost: str | None = None

    def over(self, steps: Iterator[T], session: Session) -> Iterator[T]:
        """Pass the steps of a session on until the user asks to stop."""
        while not self.stop.requested:
            self._revive_server(session)
            self._notice_lost_output(session)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + LOOK_SECONDS
                self._notice_refused_lines(session)
                self._notice_refused_server(session)
            try:
                step = next(steps)
            except StopIteration:
                return
            yield step

    def _notice_lost_output(self, session: Session) -> None:
        lost = lost_output()
        if lost != self._lost:
            self._lost = lost
            session.note(f"{lost}; the run goes on, and its lines are in {session.folder.path / LOG}")

    def _notice_refused_lines(self, session: Session) -> None:
        new = self.log.refused - session.unwritten.counts["log"]
        if new:
            session.unwritten.refused("log", self.log.newest, new)
        else:
            session.unwritten.written("log")

    def _notice_refused_server(self, session: Session) -> None:
        """Tell that the run's own Redis takes no chunks, because it cannot write them down.

        Raises:
            RunError: if that lasts for longer than learners go on without a checkpoint.
        """
        why = None if self.server is None else self.server.refused()
        if why is None:
            self._refused_at = None
            session.unwritten.written("redis")
            return
        now = time.monotonic()
        self._refused_at = self._refused_at or now
        if now - self._refused_at > REFUSED_SECONDS:
            raise RunError(f"{why}; it has been so for {REFUSED_SECONDS / 60.0:g} minutes")
        session.unwritten.refused("redis", why)

    def tell_stop(self, session: Session, console: Console) -> None:
        """Say after a request to stop what is kept of the run, if anything is."""
        folder = session.folder
        if self.number == 0 and not folder.has_begun():
            console.print(f"stopped before the training had begun: nothing of run {folder.name} is kept")
        else:
            console.print(f"stopped; {kept(folder, session.config.command)}", soft_wrap=True)

    def _revive_server(self, session: Session) -> None:
        if self.server is None or self.server.pid is not None:
            return
        self.server.start()
        # Killed, it may have forgotten its newest second; connecting gives it back the models of the mirror.
        session.on_redis_restart()
        session.restarts["redis"] += 1
        session.note("the run's redis-server had ended and was started again")


@contextlib.contextmanager
def opened(folder: RunFolder, config: AnyConfig) -> Generator[Surroundings]:
    """Claim a run, write its log, and start what it needs; all of it ends with this sitting of the run.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    number = folder.next_sitting()
    origin = Origin(folder.name, config.command)
    with (
        # It comes first, since it says as well who may not write into the folder.
        folder.claim(),
        told_what_is_kept(folder, config.command, new=number == 0),
        log_file(folder.path / LOG, origin, as_json=config.monitoring.log_json) as log,
        StopRequest() as stop,
        contextlib.ExitStack() as stack,
    ):
        data, urls = kind_of(config).data, config.buffer.buffer
        needs_server = urls is None and data is None
        server = stack.enter_context(PrivateRedis(folder.redis)) if needs_server else None
        remove_leftovers(folder.path)
        # Noted first: no two run processes get the same number.
        folder.append(SITTINGS, {"sitting": number})
        services: RunServices
        if data is not None:
            services = FolderServices(data, config.general.games, folder.path, incarnation_of(number, 0))
        else:
            urls = urls or (server.url if server else "")
            services = stack.enter_context(_redis_services(folder, config, number, urls))
        cluster = RayCluster(available_cores())
        if not config.general.serial:
            cluster = stack.enter_context(ray_cluster(config.general.address, config.buffer))
        yield Surroundings(services, number, cluster, stop, server, log)


@contextlib.contextmanager
def _redis_services(folder: RunFolder, config: AnyConfig, number: int, urls: str) -> Generator[RedisServices]:
    """Claim a run's name in its Redis and yield its services there."""
    buffer, run_id = config.buffer, folder.run_id()
    # Every lineage's learner reads all chunks.
    lineages = [lineage.name for lineage in kind_of(config).lineages]
    limits = Limits(buffer.capacity, buffer.backlog, buffer.shards, readers=len(lineages))
    address = BufferAddress(urls, folder.name, config.general.games, limits, run_id)
    holder = Holder(folder.name, run_id, socket.gethostname(), str(folder.path), RUN, incarnation_of(number, 0))
    with _claimed(NameClaim(address, holder, lineages), folder, new=number == 0):
        yield RedisServices(address, folder.path, holder)


@contextlib.contextmanager
def _claimed(name: NameClaim, folder: RunFolder, *, new: bool) -> Generator[None]:
    """Claim a run's name in its Redis, and give it back if the run is new and ends before its training has begun.

    Raises:
        DistillError: if it is not to be had.
    """
    name.take()
    try:
        yield
    finally:
        if new and not folder.has_begun():
            name.drop()
