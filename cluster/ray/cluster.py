"""The Ray that a run uses: one of its own on this machine, or a cluster that is there already."""

import os
import shlex
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.ray.connection import connect, disconnect, require_workers
from cluster.ray.daemons import Daemons
from cluster.ray.places import Places
from cluster.ray.private import private_ray
from cluster.ray.typed_ray import typed_ray
from distill.config import BufferConfig
from distill.errors import ConfigError, RunError

CONNECT_SECONDS = 10.0
LOOPBACK = "127.0.0.1"

LEARNER_RESOURCE, ACTOR_RESOURCE = "distill_learner", "distill_actor"
"""Custom resources of a cluster's nodes that say who runs where; a cluster may do without."""


@dataclass(frozen=True)
class RayCluster:
    """What a Ray offers.

    Attributes:
        cores: CPUs of all its nodes.
        hosts: its nodes.
        resources: everything else, by Ray's name.
        trouble: returns what has become of a Ray that is gone, empty as long as it is there.
    """

    cores: int
    hosts: int = 1
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    trouble: Callable[[], str] = field(default=str, compare=False)

    @property
    def host(self) -> str | None:
        """Address at which all its processes reach each other; None where every node has its own."""
        return None if self.resources else LOOPBACK

    def for_learner(self, device: str) -> dict[str, float]:
        """Return what a learner asks for beside CPUs; `GPU` under that name."""
        wanted = {LEARNER_RESOURCE: 1.0} if LEARNER_RESOURCE in self.resources else {}
        return wanted | ({"GPU": 1.0} if device != "cpu" and self.resources.get("GPU", 0.0) >= 1.0 else {})

    def for_actor(self) -> dict[str, float]:
        """Return what an actor or an evaluator asks for beside CPUs."""
        return {ACTOR_RESOURCE: 1.0} if ACTOR_RESOURCE in self.resources else {}

    def actor_options(self, share: float) -> dict[str, Any]:
        """Return all that an actor or an evaluator asks Ray for.

        Args:
            share: its CPUs, unless the nodes say themselves how many actors fit on them: then CPUs as well would only
                leave places empty on a node with few of them.
        """
        resources = self.for_actor()
        return {"num_cpus": 0.0 if resources else share, "resources": resources, "scheduling_strategy": "SPREAD"}

    def environment(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """Return Ray's runtime environment of an actor that needs environment variables of its own."""
        wanted: dict[str, Any] = {"env_vars": dict(variables)}
        if not self.resources:
            # Ray puts the path of Python into a shell's command as it is, spaces and all. Elsewhere that path is the
            # nodes' affair.
            wanted["py_executable"] = shlex.quote(sys.executable)
        return wanted

    def places(self, options: Mapping[str, Any]) -> Places:
        """Return the places of actors that ask for this; on a run's own Ray there are as many as you like.

        Args:
            options: of an actor, as `actor_options` returns them.
        """
        return Places(options, reserve=bool(self.resources), trouble=self.trouble)

    def now(self) -> "RayCluster":
        """Return what it offers by now, as nodes come and go."""
        return replace(offered(), trouble=self.trouble) if self.resources else self

    @property
    def evaluators(self) -> int:
        """Return how many evaluators can play at once when nothing else runs."""
        return max(1, int(self.resources.get(ACTOR_RESOURCE, self.cores)))

    def require_reachable(self, buffer: BufferConfig) -> None:
        """Check that every node reaches the buffer service.

        Raises:
            ConfigError: if there are several and none is named.
        """
        if self.hosts > 1 and buffer.buffer is None:
            raise ConfigError(
                f"buffer: this Ray cluster has {self.hosts} hosts, so --buffer must name a Redis that all of them"
                " reach; without it a run starts one on this machine alone"
            )

    def require(self, learners: int, others: int, device: str) -> None:
        """Check that everybody will find a place, rather than wait for ever.

        Raises:
            RunError: with what is asked and what there is.
        """
        short: list[str] = []
        remedies: list[str] = []
        for count, wanted, remedy in (
            (learners, self.for_learner(device), "have fewer learners"),
            (others, self.for_actor(), "lower --actors"),
        ):
            found = [
                f"{count * amount:g} {name}, it has {self.resources[name]:g}"
                for name, amount in wanted.items()
                if count * amount > self.resources[name]
            ]
            short += found
            remedies += [remedy] if found else []
        if short:
            raise RunError(f"ray: this run asks for {'; '.join(short)}; add nodes, or {' and '.join(remedies)}")


def available_cores() -> int:
    """Return the cores that this process may use, which taskset or a container can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ray_cluster(address: str | None, buffer: BufferConfig) -> Generator[RayCluster]:
    """Connect to the Ray at an address, or start one of this run's own, and disconnect or stop it at the end.

    Raises:
        RunError: if Ray cannot be reached or started.
        ConfigError: if the cluster has several hosts and no Redis that they all reach is named.
    """
    if address is None:
        with private_ray(available_cores()) as trouble:
            yield RayCluster(available_cores(), trouble=trouble)
        return
    require_listener(address)
    try:
        connect(address)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _unreachable(address, error) from error
    daemons = Daemons.of_connection()
    try:
        require_workers(f"ray at {address}")
        cluster = replace(offered(), trouble=daemons.trouble)
        cluster.require_reachable(buffer)
        yield cluster
    finally:
        disconnect(daemons.trouble())


def offered() -> RayCluster:
    """Return what the Ray that this process is connected to offers."""
    resources = {name: float(amount) for name, amount in typed_ray.cluster_resources().items()}
    hosts = sum(bool(node["Alive"]) for node in typed_ray.nodes())
    return RayCluster(max(1, int(resources.get("CPU", os.cpu_count() or 1))), hosts, resources)


def require_listener(address: str) -> None:
    """Try a plain connection first: where nobody listens, Ray itself would try for minutes.

    Raises:
        RunError: if nobody listens there.
    """
    host, separator, port = address.rpartition(":")
    if separator and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> RunError:
    return RunError(f"ray at {address}: cannot connect: {error}; check that it runs, and RAY_AUTH_MODE and its token")
