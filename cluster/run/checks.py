"""What is checked before a run makes anything: that all is there which it needs."""

import socket

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.monitor.metrics.target import require_target
from cluster.monitor.tensorboard import require_tensorboard
from cluster.ray.cluster import require_listener
from cluster.redis.connection import connect, require_server
from cluster.redis.rights import require_rights
from cluster.state.kinds import AnyConfig
from distill.errors import RunError
from learner.trainer import choose_device

LOOPBACK = "127.0.0.1"


def require_surroundings(config: AnyConfig) -> None:
    """Find out whether all is there that a run needs: device, Redis, Ray, ports, extras.

    Raises:
        DistillError: with what is missing.
    """
    general, buffer, monitoring = config.general, config.buffer, config.monitoring
    if general.address is None:
        # On a cluster the learner's node may have what this one lacks.
        choose_device(config.training.device)
    elif not general.serial:
        require_listener(general.address)
    if buffer.buffer is not None:
        limits = Limits(buffer.capacity, buffer.backlog, buffer.shards)
        # A run that has no name yet gets one that begins so.
        name = general.name or "-".join(general.games)
        for url in BufferAddress(buffer.buffer, name, general.games, limits).servers:
            with connect(url) as client:
                require_server(client)
                require_rights(client, name, general.games[0])
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
