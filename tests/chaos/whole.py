"""A whole `distill run` or `online`, watched from outside: its Redis, its checkpoints, its processes.

The watcher reads the stream all the time, so it knows every chunk that Redis ever took, also where a fault has emptied
Redis since. Its books need nothing else but the newest checkpoint: what `consumed` covers must add up to `inserted`.
"""

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import redis
from ray.cluster_utils import Cluster
from safetensors import safe_open

from cluster.redis.connection import connect
from cluster.redis.keys import stream_keys
from cluster.redis.private_server import PrivateRedis
from tests.chaos import wire
from tests.chaos.history import REMEMBER_SECONDS, SLACK_SECONDS, ChunkId
from tests.support import own_clock
from tests.support.machine_limits import can_limit, small_disk
from tests.support.sandbox import TEACHERS, TINY, Distill, Sandbox, new_sandbox, processes
from tests.support.tcp_proxy import TcpProxy

GAME, NAME = "breakout", "run"
STEPS = 16
"""Of a chunk."""
START_SECONDS = 180.0
END_SECONDS = 90.0
RECOVERY_SECONDS = 30.0
POLL_SECONDS = 0.2
On = Literal["run", "users_redis", "online", "small_disk", "cluster", "own_clock"]
"""Kinds of runs: with a Redis of its own, with the user's behind a proxy, with Q-learners, with its folder on a disk of
its own, on a Ray of two nodes whose second one has all who play, and with a clock that can be set."""
DISK_MEGABYTES = 400
RUN = ("run", *TINY, "--games", GAME, "--updates", "100000000", "--checkpoint-seconds", "0.5", "--eval-every", "400")
ONLINE = (
    "online", "--game", GAME, "--network", "one_percent", "--lanes", "4", "--chunk-steps", "16", "--min-replay", "256",
    "--q-batch-size", "16", "--q-sample-to-insert", "1", "--publish-seconds", "0.5", "--candidate-steps", "1200",
    "--checkpoint-seconds", "0.5", "--look-episodes", "2", "--most-episodes", "4", "--best-episodes", "2",
    "--eval-lanes", "2", "--learner-threads", "1", "--epsilon-steps", "1000", "--student", "one_percent",
    "--batch-size", "16", "--sample-to-insert", "2", "--sample-to-insert-window", "2000", "--eval-every", "100",
    "--steps", "100000000", "--final-episodes", "0", "--no-video",
)  # fmt: skip


class Seen(NamedTuple):
    """A chunk in the stream: its steps, and when it was seen first."""

    steps: int
    at: float


@dataclass(frozen=True)
class WholeBooks:
    """What was counted from outside at one moment.

    Attributes:
        taken: chunks that Redis has taken since the run began.
        lost: of these, chunks that are neither stored nor trained though somebody had promised them, or that a
            checkpoint covers and does not count.
        doubled: transitions that the checkpoint counts and nobody has pushed.
    """

    taken: int
    lost: int
    doubled: int


@dataclass
class Whole:
    """A run in a sandbox.

    Attributes:
        sandbox: where it lives.
        options: of `distill`.
        roles: kinds of processes that it should have while it trains.
        server: the user's Redis, or None if it has its own.
        link: the proxy between the run and the user's Redis.
        cluster: the Ray that it uses, if that is not its own.
    """

    sandbox: Sandbox
    options: tuple[str, ...]
    roles: tuple[str, ...]
    server: PrivateRedis | None = None
    link: TcpProxy | None = None
    cluster: Cluster | None = None
    seen: dict[ChunkId, Seen] = field(default_factory=dict[ChunkId, Seen])
    """Every chunk that was ever in the stream."""
    emptied: list[float] = field(default_factory=list[float])
    """When a fault took data from Redis."""
    _position: str = "-"

    def __post_init__(self) -> None:
        self.process = self.start()

    def start(self, *more: str) -> Distill:
        """Start `distill` for the first time, or resume."""
        if self.folder.exists():
            command = (self.options[0], "--resume", str(self.folder), *more)
        else:
            buffer = ("--buffer", self.link.url) if self.link else ()
            command = (*self.options, *buffer, "--root", str(self.sandbox.path / "runs"), "--name", NAME, *more)
        self.process = self.sandbox.start(*command)
        return self.process

    @property
    def folder(self) -> Path:
        return self.sandbox.run(NAME)

    @property
    def teachers(self) -> Path:
        """The run's own copy of the teachers."""
        return self.sandbox.path / "teachers"

    @contextlib.contextmanager
    def redis(self, timeout: float = 2.0) -> Iterator[redis.Redis]:
        """Connect to the run's Redis, past the proxy."""
        url = self.server.url if self.server else f"unix://{self._own_socket()}"
        with connect(url, timeout=timeout) as client:
            yield client

    def _own_socket(self) -> Path:
        return Path(json.loads((self.folder / "redis" / "server.json").read_text())["sockets"]) / "redis.sock"

    def observe(self) -> int:
        """Note what is new in the stream; return the number of chunks ever seen, also if Redis does not answer."""
        with contextlib.suppress(OSError, redis.RedisError, KeyError, ValueError), self.redis() as client:
            key = stream_keys(NAME, GAME, 0).chunks
            last = client.xrevrange(key, count=1)
            if self._position != "-" and (not last or last[0][0] < self._position.encode()):
                self._position = "-"
            while entries := client.xrange(key, min=self._position, count=50):
                for entry_id, fields in entries:
                    chunk = wire.id_of_entry(fields)
                    if chunk is not None:
                        steps = int(entry_id.split(b"-")[1])
                        self.seen.setdefault(chunk, Seen(steps, time.monotonic()))
                self._position = "(" + entries[-1][0].decode()
        return len(self.seen)

    def lineages(self) -> tuple[str, ...]:
        return ("student", GAME) if "Explorer" in self.roles else ("student",)

    def updates(self) -> Mapping[str, int]:
        """Return the updates of every learner's newest checkpoint."""
        return {lineage: newest_state(self.folder, lineage).get("updates", 0) for lineage in self.lineages()}

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Watch until a condition holds; return whether it does within that time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.observe()
            time.sleep(POLL_SECONDS)
        return True

    def end(self) -> int | None:
        """Wait for the process to end and return its exit code, None if it does not."""
        self.until(lambda: self.process.code is not None, END_SECONDS)
        return self.process.code

    def recover(self, seconds: float = RECOVERY_SECONDS) -> float | None:
        """Return the seconds until every role lives, chunks come, and every learner has saved more updates."""
        start, chunks, updates = time.monotonic(), self.observe(), self.updates()

        def well() -> bool:
            return (
                self.process.code is None
                and self.observe() > chunks
                and all(now > updates[lineage] for lineage, now in self.updates().items())
                and all(self.process.actors(role) for role in self.roles)
            )

        return time.monotonic() - start if self.until(well, seconds) else None

    def actor(self, role: str) -> int:
        """Return the process of a role, one of them if there are several."""
        return min(self.process.until(lambda: self.process.actors(role), f"a {role}"))

    def daemon(self, name: str) -> int:
        """Return the process of one of Ray's daemons."""
        return next(pid for pid, line in processes(self.sandbox.path).items() if f"/{name} " in f"{line} ")

    def redis_pid(self) -> int:
        """Return the process of the run's Redis."""
        pid = self.server.pid if self.server else self.sandbox.redis_server(NAME)
        assert pid is not None, "the server runs"
        return pid

    def books(self) -> WholeBooks:
        """Return the books as of now; the run may go on meanwhile."""
        # In this order whatever a checkpoint covers was seen, and whatever was seen is stored, unless it is lost.
        states = [newest_state(self.folder, lineage)["feed"] for lineage in self.lineages()]
        self.observe()
        with self.redis() as client:
            entries = client.xrange(stream_keys(NAME, GAME, 0).chunks)
        stored = {wire.id_of_entry(fields) for _, fields in entries}
        lost = doubled = 0
        for state in states:
            trained = {chunk for chunk in self.seen if chunk.sequence <= state["consumed"].get(chunk.producer, -1)}
            steps, inserted = sum(self.seen[chunk].steps for chunk in trained), sum(state["inserted"].values())
            doubled += max(0, inserted - steps)
            lost += max(0, steps - inserted) // STEPS
            lost += sum(not self._excused(chunk) for chunk in self.seen.keys() - trained - stored)
        return WholeBooks(len(self.seen), lost, doubled)

    def _excused(self, chunk: ChunkId) -> bool:
        """Return whether a fault took a chunk that nobody had promised to hold any longer."""
        at = self.seen[chunk].at
        remembered = REMEMBER_SECONDS - SLACK_SECONDS - POLL_SECONDS
        return any(at < emptied - remembered for emptied in self.emptied)


def newest_state(folder: Path, lineage: str) -> dict[str, Any]:
    """Return the state in a learner's newest whole checkpoint, empty before the first."""
    for file in sorted((folder / "checkpoints" / lineage).glob("checkpoint-*.safetensors"), reverse=True):
        with contextlib.suppress(Exception), safe_open(file, framework="pt") as checkpoint:
            return json.loads(checkpoint.metadata()["state"])
    return {}


def not_here(kind: On) -> str:
    """Return why a kind of run cannot be made on this machine, empty if it can."""
    if kind == "small_disk" and not can_limit():
        return "without root"
    if kind == "own_clock":
        return own_clock.not_here()
    return ""


@contextlib.contextmanager
def started(kind: On, options: tuple[str, ...] = ()) -> Iterator[Whole]:
    """Start a run and wait until it trains.

    Args:
        kind: of the run.
        options: of `distill`; those of the kind if empty.
    """
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(new_sandbox())
        shutil.copytree(TEACHERS, sandbox.path / "teachers")
        server = link = None
        more: tuple[str, ...] = ()
        roles = ("Explorer" if kind == "online" else "Collector", "Learner", "Evaluator", "Coordinator")
        cluster = None
        if kind in ("users_redis", "cluster"):
            server = stack.enter_context(PrivateRedis(sandbox.path / "redis"))
            socket = Path(server.url.removeprefix("unix://"))
            link = TcpProxy(lambda: socket)
            stack.callback(link.close)
        if kind == "cluster":
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
            stack.callback(cluster.shutdown)
            add_player_node(cluster)
            # Its processes were not started by the run.
            more, roles = ("--address", cluster.address), ()
        elif kind == "own_clock":
            sandbox.environment |= own_clock.prepare(sandbox.path)
        elif kind == "small_disk":
            stack.enter_context(small_disk(sandbox.path / "runs", DISK_MEGABYTES))
        options = (*(options or (ONLINE if kind == "online" else RUN)), *more)
        own = [str(sandbox.path / "teachers") if option == str(TEACHERS) else option for option in options]
        whole = Whole(sandbox, tuple(own), roles, server, link, cluster)
        trains = whole.until(lambda: all(whole.updates().values()) or whole.process.code is not None, START_SECONDS)
        if not trains or whole.process.code is not None:
            raise AssertionError(f"{kind}: does not train; it printed:\n{whole.process.output}")
        yield whole
        if whole.process.code is None:
            whole.process.signal(signal.SIGTERM)
            whole.end()


def add_player_node(cluster: Cluster) -> None:
    """Add a node to Ray that has room for a collector and an evaluator."""
    cluster.add_node(num_cpus=1, resources={"distill_actor": 2})
