"""A Ray cluster whose autoscaler starts and stops nodes on this machine, by the provider that Ray tests itself with.

`ray.cluster_utils.AutoscalingCluster` does the same, but Ray's wheel lacks the file of defaults that it reads, and it
begins with `ray stop`, which ends every Ray of the machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler._private.fake_multi_node import node_provider

from cluster.ray.cluster import ACTOR_RESOURCE
from tests.support.free_ports import free_ports
from tests.support.sandbox import Sandbox, processes, until

ADDED, HEAD = "added", node_provider.FAKE_HEAD_NODE_TYPE
SMALL = 100 * 2**20
"""Bytes of a node's object store."""
COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files",
)  # fmt: skip
"""What else a configuration must have, though nothing is to be done on nodes that are there already."""
VARIABLES = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": node_provider.FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": node_provider.FAKE_HEAD_NODE_ID,
    "RAY_USAGE_STATS_ENABLED": "0",
}
OPEN = {"RAY_AUTH_MODE": "disabled"}
"""Of the cluster and all that connect to it: a sandbox has a home of its own, without Ray's token."""


@dataclass(frozen=True)
class AutoscaledRay:
    """A head node and what its autoscaler adds.

    Attributes:
        address: for `--address`.
        folder: where its processes work.
    """

    address: str
    folder: Path

    def nodes(self) -> int:
        """Return how many nodes there are, the head among them."""
        return sum("/raylet/raylet " in command for command in processes(self.folder).values())


@contextmanager
def autoscaled_ray(sandbox: Sandbox, places: int, added: int) -> Iterator[AutoscaledRay]:
    """Start the head; whatever is left of the cluster ends with the sandbox.

    Args:
        sandbox: whose processes the cluster's are.
        places: of actors on the head, and on every node that is added.
        added: nodes at most.
    """
    sandbox.environment |= OPEN
    host = ray.util.get_node_ip_address()
    gcs, client = free_ports(2)
    provider = {
        "type": "external",
        "module": f"{node_provider.__name__}.{node_provider.FakeMultiNodeProvider.__name__}",
        "gcs_address": f"{host}:{gcs}",
        "head_node_id": node_provider.FAKE_HEAD_NODE_ID,
        "launch_multiple": True,
        "disable_node_updaters": True,
    }
    resources = {ACTOR_RESOURCE: places}
    node = {"node_config": {}, "min_workers": 0}
    config: dict[str, Any] = {key: [] for key in COMMANDS} | {
        "cluster_name": "fake",
        "provider": provider,
        "max_workers": added,
        "idle_timeout_minutes": 0.05,
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {**node, "resources": {"CPU": 2, **resources}, "max_workers": 0},
            ADDED: {**node, "resources": {"CPU": 1, "object_store_memory": SMALL, **resources}, "max_workers": added},
        },
    }
    path = sandbox.path / "autoscaler.json"
    path.write_text(json.dumps(config))
    with (sandbox.path / "ray.log").open("wb") as log:
        head = subprocess.Popen(
            [
                Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--autoscaling-config={path}",
                f"--node-ip-address={host}", f"--port={gcs}", f"--ray-client-server-port={client}",
                "--dashboard-agent-listen-port=0", "--include-dashboard=false", f"--temp-dir={sandbox.path}/ray",
                "--num-cpus=2", f"--resources={json.dumps(resources)}", f"--object-store-memory={SMALL}",
            ],
            cwd=sandbox.path, env=os.environ | VARIABLES | OPEN, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until(lambda: b"Ray runtime started" in (sandbox.path / "ray.log").read_bytes(), "Ray has started", 120.0)
            yield AutoscaledRay(provider["gcs_address"], sandbox.path)
        finally:
            head.terminate()
            head.wait(60.0)
