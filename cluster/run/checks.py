"""What is checked before a run makes anything: that all is there which it needs."""

import torch

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.monitor.metrics.target import require_target
from cluster.monitor.trackers.catalogue import require_trackers
from cluster.ray.cluster import require_listener
from cluster.redis.connection import connect, require_server
from cluster.redis.rights import require_rights
from cluster.state.kinds import AnyConfig, kind_of
from cluster.web.server import listen
from distill.errors import RunError
from learner.device import choose_device

LOOPBACK = "127.0.0.1"


def require_surroundings(config: AnyConfig) -> None:
    """Find out whether all is there that a run needs: device, Redis, Ray, ports, extras.

    Raises:
        DistillError: with what is missing.
    """
    general, buffer, monitoring = config.general, config.buffer, config.monitoring
    if general.address is None:
        # On a cluster the learner's node may have what this one lacks.
        _require_devices(config)
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
    require_trackers(monitoring)
    # Somebody else may take a port a moment later; then its server says the same.
    listen("metrics", monitoring.metrics_host, monitoring.metrics_port).close()
    if monitoring.dashboard:
        listen("dashboard", LOOPBACK, monitoring.dashboard_port).close()
    if monitoring.metrics_targets is not None:
        require_target(monitoring.metrics_targets, general.name)


def _require_devices(config: AnyConfig) -> None:
    """Find out whether this machine has a device for every rank of a learner. Raises RunError."""
    device = choose_device(config.training.device)
    kind = kind_of(config)
    ranks = kind.learners // len(kind.lineages)
    if device.type == "cuda" and torch.cuda.device_count() < ranks:
        raise RunError(
            f"learners: found {ranks}, each of which needs a CUDA device of its own; this machine has"
            f" {torch.cuda.device_count()}: lower it, or use --device cpu"
        )
