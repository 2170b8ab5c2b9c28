"""One sitting of a run of any kind: its folder is claimed, its log is open, its Redis and its Ray are there."""

import contextlib
import socket
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.monitor.logs import Origin, log_file
from cluster.monitor.metrics.target import require_target
from cluster.monitor.tensorboard import require_tensorboard
from cluster.ray.cluster import RayCluster, available_cores, ray_cluster, require_listener
from cluster.redis.connection import connect, require_server
from cluster.redis.private_server import PrivateRedis
from cluster.run.ending import kept, told_what_is_kept
from cluster.run.stop_request import StopRequest
from cluster.services import RedisServices
from cluster.state.folder import LOG, SITTINGS, RunFolder
from cluster.state.run_session import RunSession
from distill.config import RunConfig, Settings, flatten
from distill.errors import ConfigError, RunError
from distill.files import remove_leftovers
from learner.trainer import choose_device

T = TypeVar("T")

LOOPBACK = "127.0.0.1"


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

    def over(self, steps: Iterator[T], session: RunSession) -> Iterator[T]:
        """Pass the steps of a session on until the user asks to stop."""
        while not self.stop.requested:
            self._revive_server(session)
            try:
                step = next(steps)
            except StopIteration:
                return
            yield step

    def tell_stop(self, session: RunSession, command: str, console: Console) -> None:
        """Say after a request to stop what is kept of the run, if anything is."""
        folder = session.folder
        if self.number == 0 and not folder.has_begun():
            console.print(f"stopped before the training had begun: nothing of run {folder.name} is kept")
        else:
            console.print(f"stopped; {kept(folder, command)}", soft_wrap=True)

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
    number = folder.next_sitting()
    origin = Origin(folder.name, settings.command)
    with (
        # It comes first, since it says as well who may not write into the folder.
        folder.claim(),
        told_what_is_kept(folder, settings.command, new=number == 0),
        log_file(folder.path / LOG, origin, as_json=settings.monitoring.log_json),
        StopRequest() as stop,
        contextlib.ExitStack() as stack,
    ):
        server = None if config.buffer else stack.enter_context(PrivateRedis(folder.redis))
        urls = config.buffer or (server.url if server else "")
        limits = Limits(config.capacity, config.backlog, config.shards, readers)
        remove_leftovers(folder.path)
        services = RedisServices(BufferAddress(urls, folder.name, tuple(games), limits), folder.path)
        folder.append(SITTINGS, {"sitting": number})
        cluster = RayCluster(available_cores())
        if on_ray:
            cluster = stack.enter_context(ray_cluster(settings.general.address, config))
        yield Sitting(services, number, cluster, stop, server)


def require_surroundings(config: Settings, games: Sequence[str]) -> None:
    """Find out before anything is made whether all is there that a run needs: device, Redis, Ray, ports, extras.

    Args:
        config: of the run.
        games: its games.

    Raises:
        DistillError: with what is missing.
    """
    general, monitoring = config.general, config.monitoring
    if general.address is None:
        # On a cluster the learner's node may have what this one lacks.
        choose_device(config.training.device)
    elif not (isinstance(config, RunConfig) and config.general.serial):
        require_listener(general.address)
    buffer = config.buffer
    if buffer.buffer is not None:
        limits = Limits(buffer.capacity, buffer.backlog, buffer.shards)
        for url in BufferAddress(buffer.buffer, "", tuple(games), limits).servers:
            with connect(url) as client:
                require_server(client)
    if monitoring.tensorboard:
        require_tensorboard()
    require_free_port("metrics", monitoring.metrics_host, monitoring.metrics_port)
    if monitoring.dashboard:
        require_free_port("dashboard", LOOPBACK, monitoring.dashboard_port)
    if monitoring.metrics_targets is not None:
        require_target(monitoring.metrics_targets, general.name)


def require_free_port(what: str, host: str, port: int) -> None:
    """Check that this machine can listen on an address, which somebody else may take a moment later.

    Raises:
        RunError: if it cannot.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as listener:
            # As the servers do it: connections that have just ended do not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        raise RunError(
            f"{what}: expected to listen on {host}, port {port}, found: {error.strerror or error};"
            " choose another port, or 0 for a free one"
        ) from error


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
