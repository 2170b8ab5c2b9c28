"""What the tests of whole runs share: `distill` as a process, and every process that it leaves anywhere."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from matplotlib import get_cachedir
from rich.console import Console

from cluster.commands.run import command
from cluster.redis.ownership import OWNER

T = TypeVar("T")

TEACHERS = Path(__file__).resolve().parents[2] / "teachers"
START_SECONDS = 90.0
"""Starting Ray takes 5 s, on a busy machine many times that."""
END_SECONDS = 60.0
POLL_SECONDS = 0.1
"""Looking through all processes takes milliseconds; more often would slow down what is waited for."""

TINY = (
    "--teachers", str(TEACHERS), "--games", "breakout", "pong", "--student", "one_percent", "--lanes", "4",
    "--chunk-steps", "16", "--min-replay", "256", "--learner-threads", "1", "--eval-episodes", "1", "--eval-lanes", "1",
    "--final-episodes", "0", "--no-video",
)  # fmt: skip
"""A run of seconds. Its first 1,000 updates need no more than 6,000 transitions."""
ACTORS = {
    "Collector": "CollectingActor", "Explorer": "ExploringActor", "Evaluator": "EvaluatingActor",
    "Coordinator": "Coordinator", "Learner": "(QTrainer|StudentTrainer|FirstRank)", "FurtherRank": "FurtherRank",
}  # fmt: skip
"""The plain classes that Ray runs, which are its workers' titles."""
UNTRAINED = ("--eval-every", "1000000")
"""No evaluation before the end."""
LIBRARY_CACHES = ("torchinductor_",)
"""What files and folders are named that libraries keep for the next process of any program."""


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Poll a condition until it is true and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)
    return value


def processes(folder: Path) -> dict[int, str]:
    """Return the command line of every process that works below a folder, orphans included, zombies left out."""
    found: dict[int, str] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if (path / "cwd").readlink().is_relative_to(folder):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


@dataclass
class Sandbox:
    """A place for `distill` processes: a home, a temporary folder and a folder of runs, all of its own."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for folder in (self.home, self.temporary):
            folder.mkdir()

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def temporary(self) -> Path:
        return self.path / "tmp"

    def run(self, name: str) -> Path:
        return self.path / "runs" / name

    def start(self, *arguments: str) -> "Distill":
        return Distill(self, arguments)

    def distill(self, *arguments: str, seconds: float = START_SECONDS + END_SECONDS) -> "Distill":
        """Start `distill` and wait for its end."""
        process = self.start(*arguments)
        process.wait(seconds)
        return process

    def train(self, name: str, *arguments: str) -> "Distill":
        return self.start("run", *self._new(name), *arguments)

    def train_here(self, name: str, *arguments: str) -> None:
        """Train in this process, which need not start Python anew. The run must be a serial one."""
        command((*self._new(name), *arguments), Console(quiet=True))

    def resume(self, name: str, *arguments: str) -> "Distill":
        return self.start("run", "--resume", str(self.run(name)), *arguments)

    def resume_here(self, name: str, *arguments: str) -> None:
        """Go on with a serial run in this process."""
        command(("--resume", str(self.run(name)), *arguments), Console(quiet=True))

    def _new(self, name: str) -> tuple[str, ...]:
        return (*TINY, "--root", str(self.path / "runs"), "--name", name)

    def redis_server(self, name: str) -> int:
        """Return the process of a run's own Redis."""
        return json.loads((self.run(name) / "redis" / OWNER).read_text())["server"]

    def leftovers(self) -> list[str]:
        """Return what should not be there when no `distill` runs: processes, temporary files, files in HOME."""
        found = [*processes(self.path).values()]
        for folder in (self.home, self.temporary):
            for path, folders, files in os.walk(folder):
                found += [f"{path}/{name}" for name in (*files, *(name for name in folders if "distill" in name))]
        return [item for item in found if not any(f"/{cache}" in item for cache in LIBRARY_CACHES)]


class Distill:
    """A `distill` process, leader of a process group of its own like a job of a shell."""

    def __init__(self, sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
        self._output = (sandbox.path / f"output-{uuid.uuid4().hex}").open("w+b")
        own = {"HOME": str(sandbox.home), "TMPDIR": str(sandbox.temporary), "MPLCONFIGDIR": get_cachedir()}
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("distill"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            cwd=sandbox.path,
            env={**os.environ, **own, **sandbox.environment},
            process_group=0,
        )
        self._folder = sandbox.path

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.poll()

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text(errors="replace")

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"distill did not end within {seconds:g} s; it printed:\n{self.output}")

    def signal(self, number: int, *, group: bool = False) -> None:
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        self.signal(signal.SIGKILL, group=True)
        self._process.wait(END_SECONDS)

    def actors(self, kind: str, at: str = "") -> dict[int, str]:
        """Return the living Ray workers of a kind, such as Collector, or those of them that are in a method."""
        title = re.compile(rf"^ray::{ACTORS[kind]}" + (rf"\.{at}\b" if at else ""))
        return {pid: command for pid, command in processes(self._folder).items() if title.search(command)}

    def until(self, condition: Callable[[], T], what: str, seconds: float = START_SECONDS) -> T:
        """Poll a condition until it is true while the process lives, and return its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert self.code is None, f"distill ended with {self.code} before {what}; it printed:\n{self.output}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; distill printed:\n{self.output}"
            time.sleep(POLL_SECONDS)
        return value


def rows(run: Path, file: str) -> list[dict[str, Any]]:
    """Return the whole lines of a JSON-lines file of a run."""
    path = run / file
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def updates(run: Path) -> int:
    """Return the updates of the newest line of metrics."""
    metrics = rows(run, "metrics.jsonl")
    return metrics[-1]["updates"] if metrics else 0


def checkpointed(run: Path, line: str = "student") -> int:
    """Return the updates of the newest checkpoint in the manifest."""
    path = run / "checkpoints" / line / "manifest.json"
    entries = json.loads(path.read_text())["checkpoints"] if path.exists() else []
    return max((entry["updates"] for entry in entries), default=0)


@contextlib.contextmanager
def new_sandbox() -> Iterator[Sandbox]:
    """Make a sandbox with a short path, since unix sockets lie in it, and end what is left in it."""
    with tempfile.TemporaryDirectory(prefix="d-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        sandbox = Sandbox(Path(folder))
        try:
            yield sandbox
        finally:
            for pid in processes(sandbox.path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(sandbox.path / "runs", ignore_errors=True)
