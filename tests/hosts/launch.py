"""What a user does for a run on machines with SSH, as docs/deploy.md tells it, on the hosts of machines.py."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from machines import DESK, HEAD, ROOT, WORKERS, Machines

from tests.support import programs

RUN = "demo"
"""The run's name in cluster/ray/local.yaml."""
HOME = Path("/home/distill")
REDIS_PORT = 6380
DASHBOARD = "http://127.0.0.1:8265"
ACTORS_PER_WORKER = 2
UP_SECONDS, JOB_SECONDS, COMMAND_SECONDS = 240.0, 360.0, 90.0
"""Starting Ray on three hosts takes half a minute on two idle cores; these are for cores that are busy."""


def until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Poll a condition, and fail if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


def make_secrets(folder: Path) -> Path:
    """Make passwords, certificates and Ray's token below a folder."""
    programs.require("openssl")
    secrets = folder / "secrets"
    subprocess.run(
        [ROOT / "docker/make-secrets.sh", secrets, DESK, RUN],
        env=os.environ | {"PYTHON": sys.executable}, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    return secrets


def cluster_file(folder: Path) -> Path:
    """Write cluster/ray/local.yaml with the few changes that small hosts with one Python need."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster/ray/local.yaml").read_text())
    assert (config["provider"]["head_ip"], config["provider"]["worker_ips"]) == (HEAD, WORKERS)
    config["auth"]["ssh_private_key"] = str(folder / "key")
    mounts = config["file_mounts"]
    for target, source in mounts.items():
        if source.startswith("secrets/"):
            mounts[target] = str(folder / source)
    # In place of docker/install.sh. The code is what `ray up` has copied, wherever this Python has another one.
    config["setup_commands"] = [f"mkdir -p ~/distill && ln -sfn {Path(sys.executable).parent} ~/distill/bin"]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = commands[-1].replace("$(nproc)", str(ACTORS_PER_WORKER))
        small = f"--num-cpus=1 --object-store-memory={100 * 2**20}"
        commands[-1] = f"export PYTHONPATH=$HOME/policy-distillery; {start} {small}"
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def redis_at_the_desk(machines: Machines) -> Iterator[str]:
    """Start Redis as docs/deploy.md has it; yield its URL."""
    redis = programs.require(programs.DEBIAN_REDIS, "TLS")
    secrets = machines.folder / "secrets"
    files = {"tls-cert-file": "redis.crt", "tls-key-file": "redis.key", "aclfile": "users.acl"}
    options = [part for name, file in files.items() for part in (f"--{name}", str(secrets / file))]
    options += ["--tls-port", str(REDIS_PORT), "--dir", str(machines.folder), "--logfile", "redis.log"]
    server = machines.start(redis, ROOT / "docker/redis/redis.conf", *options)
    try:
        yield f"rediss://{DESK}:{REDIS_PORT}"
    finally:
        server.terminate()
        server.wait(30.0)


@dataclass
class CommandLines:
    """Collects the command lines of all processes of this machine, those on hosts among them."""

    seen: set[bytes] = field(default_factory=set[bytes])

    @contextmanager
    def collected(self) -> Iterator[None]:
        over = threading.Event()

        def collect() -> None:
            while not over.wait(0.2):
                for file in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        self.seen.add(file.read_bytes())
                    except OSError:
                        continue

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass(frozen=True)
class Launched:
    """Ray on the hosts, as it is used from the desk."""

    machines: Machines
    file: Path

    def ray(self, command: str, *arguments: str | Path, seconds: float = COMMAND_SECONDS) -> str:
        """Run a command of Ray that takes the cluster file."""
        return self.machines.run("ray", command, self.file, *arguments, seconds=seconds)

    def up(self) -> None:
        """Start Ray on all hosts, and give the head the learner's password."""
        self.ray("up", "--yes", seconds=UP_SECONDS)
        password = self.machines.folder / f"secrets/passwords/{RUN}-learner"
        self.ray("rsync-up", password, HOME / ".distill/learner_password")
        places = ACTORS_PER_WORKER * len(WORKERS)
        # `ray up` returns when the head runs; the head starts the workers.
        until(lambda: f"/{places}.0 distill_actor" in self.ray("exec", "ray status"), "all workers joined", UP_SECONDS)

    def down(self) -> None:
        """Stop Ray on all hosts."""
        self.ray("down", "--yes")
        for worker in WORKERS:
            # With this provider `ray down` stops the head alone. Before it, the head would start the worker again.
            self.machines.on(worker, "distill/bin/ray stop", seconds=COMMAND_SECONDS)

    @contextmanager
    def dashboard(self) -> Iterator[None]:
        """Forward the dashboard's port to the desk."""
        forward = self.machines.start("ray", "dashboard", self.file, stdout=subprocess.DEVNULL)
        try:
            until(
                lambda: self.machines.reaches("127.0.0.1", 8265), "the dashboard's port is forwarded", COMMAND_SECONDS
            )
            yield
        finally:
            forward.terminate()
            forward.wait(30.0)

    def submit(self, *entrypoint: str) -> str:
        """Submit a job, wait until it has succeeded, and return what it printed."""
        return self.machines.run(
            "ray", "job", "submit", "--address", DASHBOARD, "--", *entrypoint, seconds=JOB_SECONDS
        )  # fmt: skip

    def actors(self) -> set[tuple[str, str]]:
        """Return the class and the host's address of every actor that there was."""
        state: dict[str, list[dict[str, Any]]] = {}
        for kind in ("nodes", "actors"):
            listed = self.machines.run(
                "ray", "list", kind, "--address", DASHBOARD, "--format", "json", stderr=subprocess.DEVNULL
            )  # fmt: skip
            state[kind] = json.loads(listed)
        addresses = {node["node_id"]: node["node_ip"] for node in state["nodes"]}
        return {(actor["class_name"], addresses[actor["node_id"]]) for actor in state["actors"]}
