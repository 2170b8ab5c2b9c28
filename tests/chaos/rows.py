"""The rows of the table of faults: what is done to a whole run, and what is promised.

Rows of one kind share a run, one after the other. A row that ends the run ends it as promised, and the run is resumed.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from cluster.buffer.push import Limits, Pusher
from cluster.redis.typed_redis import typed
from tests.chaos import wire
from tests.chaos.faults import UNREACHABLE
from tests.chaos.whole import GAME, NAME, On, Whole, add_player_node
from tests.support import own_clock
from tests.support.machine_limits import no_more_memory
from tests.support.sandbox import processes

Inject = Callable[[Whole, float], AbstractContextManager[None]]
MODEST = Path(__file__).resolve().parents[2] / "docs" / "examples" / "breakout-modest.safetensors"
"""Another Breakout teacher."""


@dataclass(frozen=True)
class Row:
    """A fault of the table.

    Attributes:
        name: the fault.
        on: the kind of run that it is done to.
        promise: what is promised.
        inject: does it for some seconds.
        seconds: that it lasts at length, and shortened.
        ends: the exit code with which the run ends, None if it goes on.
        says: what it then prints, beside how it is resumed.
    """

    name: str
    on: On
    promise: str
    inject: Inject
    seconds: tuple[float, float] = (0.0, 0.0)
    ends: int | None = None
    says: str = ""


ROWS: list[Row] = []
NOT_TRIED = {
    "an emulator that stalls": "to a run it is a collector that gets SIGSTOP",
    "an episode that never ends": "the emulator itself cuts it, `tests/distill/test_games.py`",
}
"""Faults without a row, and why."""
_GOES_ON = "goes on; who died is replaced; nothing is lost, nothing counted twice"
_WAITS = "waits and goes on when it ends; nothing is lost, nothing counted twice"
_KEEPS = "goes on with what producers held or make anew; what a checkpoint counted is not counted again"
_RESUMES = "ends with one sentence, and `--resume` goes on"


def _row(
    name: str, on: On | Iterable[On], promise: str, *, lasts: tuple[float, float] = (0.0, 0.0), ends: int | None = None,
    says: str = "",
) -> Callable[[Callable[[Whole, float], Generator[None]]], None]:  # fmt: skip
    def add(function: Callable[[Whole, float], Generator[None]]) -> None:
        for kind in [on] if isinstance(on, str) else on:
            ROWS.append(Row(name, kind, promise, contextmanager(function), lasts, ends, says))

    return add


def _signals() -> None:
    for role, kinds in (
        ("Collector", ("run",)), ("Explorer", ("online",)), ("Evaluator", ("run", "online")),
        ("Coordinator", ("run", "online")), ("Learner", ("run", "online")),
    ):  # fmt: skip

        @_row(f"SIGKILL {role.lower()}", kinds, _GOES_ON)
        def kill(whole: Whole, seconds: float, role: str = role) -> Generator[None]:
            dead = whole.actor(role)
            os.kill(dead, signal.SIGKILL)
            whole.until(lambda: dead not in processes(whole.sandbox.path), 5.0)
            yield

    for role, seconds in (("Learner", (60.0, 4.0)), ("Collector", (60.0, 4.0)), ("Learner", (180.0, 8.0))):

        @_row(f"SIGSTOP {role.lower()}", "run", _GOES_ON, lasts=seconds)
        def stop(whole: Whole, seconds: float, role: str = role) -> Generator[None]:
            stopped = whole.actor(role)
            os.kill(stopped, signal.SIGSTOP)
            whole.until(lambda: False, seconds)
            yield
            # It may have been replaced, and killed, meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGCONT)

    @_row("the emulator crashes, which is SIGSEGV in its collector", "run", _GOES_ON)
    def crash(whole: Whole, seconds: float) -> Generator[None]:
        os.kill(whole.actor("Collector"), signal.SIGSEGV)
        yield

    @_row("SIGKILL the run's own Redis", ("run", "online"), _GOES_ON)
    def kill_redis(whole: Whole, seconds: float) -> Generator[None]:
        os.kill(whole.redis_pid(), signal.SIGKILL)
        yield

    @_row("SIGSTOP the run's own Redis", "run", _WAITS, lasts=(60.0, 3.0))
    def stop_redis(whole: Whole, seconds: float) -> Generator[None]:
        pid = whole.redis_pid()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        yield
        os.kill(pid, signal.SIGCONT)


def _links() -> None:
    cuts = {"both ways": {"up", "down"}, "towards Redis": {"up"}, "from Redis": {"down"}}
    for words, directions in cuts.items():

        @_row(f"link to Redis cut {words}", "users_redis", _WAITS, lasts=(30.0, 3.0))
        def cut(whole: Whole, seconds: float, directions: set[Literal["up", "down"]] = directions) -> Generator[None]:  # type: ignore[assignment]
            assert whole.link is not None
            whole.link.cut = frozenset(directions)
            whole.until(lambda: False, seconds)
            yield
            whole.link.cut = frozenset()

    @_row(
        "link to Redis with 200 ms and 5 % of blocks lost with their connection",
        "users_redis",
        _WAITS,
        lasts=(30.0, 3.0),
    )
    def slow(whole: Whole, seconds: float) -> Generator[None]:
        assert whole.link is not None
        whole.link.delay, whole.link.reset_share = 0.2, 0.05
        whole.until(lambda: False, seconds)
        yield
        whole.link.delay, whole.link.reset_share = 0.0, 0.0


def _redis() -> None:
    on: On = "users_redis"

    @_row("Redis restarted with its file", on, _GOES_ON, lasts=(5.0, 0.5))
    def restart(whole: Whole, seconds: float) -> Generator[None]:
        yield from _restarted(whole, seconds, lambda folder: None)

    @_row("Redis restarted empty", on, _KEEPS, lasts=(5.0, 0.5))
    def restart_empty(whole: Whole, seconds: float) -> Generator[None]:
        whole.emptied.append(time.monotonic())
        yield from _restarted(whole, seconds, _remove_data)

    @_row("Redis restarted with older data", on, _KEEPS, lasts=(5.0, 0.5))
    def restart_older(whole: Whole, seconds: float) -> Generator[None]:
        folder, saved = whole.sandbox.path / "redis", whole.sandbox.path / f"aof-{time.monotonic_ns()}"
        shutil.copytree(folder, saved, ignore=shutil.ignore_patterns("server.*", "redis.log"))
        whole.until(lambda: False, 2.0)
        whole.emptied.append(time.monotonic())

        def put_back(folder: Path) -> None:
            _remove_data(folder)
            shutil.copytree(saved, folder, dirs_exist_ok=True)

        yield from _restarted(whole, seconds, put_back)

    @_row("Redis emptied while it runs", on, _KEEPS)
    def flush(whole: Whole, seconds: float) -> Generator[None]:
        with whole.redis() as client:
            client.client_pause(10_000, all=False)
            whole.observe()
            whole.emptied.append(time.monotonic())
            client.client_unpause()
            client.flushall()
        yield

    @_row("Redis demoted to a replica", on, _WAITS, lasts=(30.0, 3.0))
    def demote(whole: Whole, seconds: float) -> Generator[None]:
        with whole.redis() as client:
            client.replicaof(*map(str, UNREACHABLE))
            whole.until(lambda: False, seconds)
            yield
            client.replicaof("NO", "ONE")

    @_row("Redis refuses writes and answers reads", on, _WAITS, lasts=(40.0, 3.0))
    def refuse(whole: Whole, seconds: float) -> Generator[None]:
        yield from _configured(whole, seconds, "min-replicas-to-write", 1, 0)

    @_row("Redis at maxmemory", on, _WAITS, lasts=(30.0, 3.0))
    def fill(whole: Whole, seconds: float) -> Generator[None]:
        with whole.redis() as client:
            used = typed(client).info("memory")["used_memory"]
        yield from _configured(whole, seconds, "maxmemory", used, 0)

    @_row("Redis killed while it rewrites its file", on, _GOES_ON)
    def rewriting(whole: Whole, seconds: float) -> Generator[None]:
        with whole.redis() as client:
            typed(client).bgrewriteaof()
        yield from _restarted(whole, seconds, lambda folder: None)


def _wire() -> None:
    limits = Limits(540_000, 100_000)
    for name, what in (
        ("damaged chunks", "damaged"),
        ("chunks of another schema", "schema"),
        ("chunks of another run", "other_run"),
    ):

        @_row(
            f"{name} in the stream",
            "users_redis",
            "refused and counted under their reason; the rest goes on",
            lasts=(3.0, 1.0),
        )
        def push(whole: Whole, seconds: float, what: str = what) -> Generator[None]:
            with whole.redis() as client:
                pusher = Pusher(client, NAME, GAME, limits)
                for chunk in wire.bad_chunks(f"{what}-{time.monotonic_ns()}", what, GAME):
                    with contextlib.suppress(redis.RedisError):
                        pusher.push([chunk], {})
            time.sleep(seconds)
            yield


def _ends() -> None:
    @_row("SIGTERM", ("run", "online"), "saves and ends with 0; `--resume` goes on", ends=0, says="--resume")
    def terminate(whole: Whole, seconds: float) -> Generator[None]:
        whole.process.signal(signal.SIGTERM)
        yield

    @_row("ctrl-C twice", ("run", "online"), "ends at once with 130; `--resume` goes on", ends=130, says="stopping now")
    def interrupt(whole: Whole, seconds: float) -> Generator[None]:
        whole.process.signal(signal.SIGINT, group=True)
        whole.until(lambda: "stopping: saving" in whole.process.output, 10.0)
        whole.process.signal(signal.SIGINT, group=True)
        yield

    @_row(
        "SIGKILL the run process", ("run", "online"), "everything of it ends; `--resume` goes on", ends=-signal.SIGKILL
    )
    def kill(whole: Whole, seconds: float) -> Generator[None]:
        whole.process.signal(signal.SIGKILL)
        yield

    for daemon in ("raylet", "gcs_server"):

        @_row(f"SIGKILL {daemon}", ("run", "online"), _RESUMES, ends=2, says="--resume")
        def kill_daemon(whole: Whole, seconds: float, daemon: str = daemon) -> Generator[None]:
            os.kill(whole.daemon(daemon), signal.SIGKILL)
            yield


def _machine() -> None:
    for role, kinds in (("Learner", ("run", "online")), ("Collector", ("run",))):

        @_row(f"out of memory, {role.lower()}", kinds, _GOES_ON, lasts=(20.0, 20.0))
        def starve(whole: Whole, seconds: float, role: str = role) -> Generator[None]:
            yield from _starved(whole, whole.actor(role), seconds)

    @_row("out of memory, the run's own Redis", "run", _GOES_ON, lasts=(20.0, 20.0))
    def starve_redis(whole: Whole, seconds: float) -> Generator[None]:
        yield from _starved(whole, whole.redis_pid(), seconds)

    @_row("SIGKILL of a worker node, on which all actors play", "cluster", _GOES_ON)
    def kill_node(whole: Whole, seconds: float) -> Generator[None]:
        assert whole.cluster is not None
        (node,) = whole.cluster.worker_nodes
        whole.cluster.remove_node(node, allow_graceful=False)
        yield
        add_player_node(whole.cluster)

    @_row("disk of checkpoints, rows and Redis' file full", "small_disk", _WAITS, lasts=(30.0, 5.0))
    def fill(whole: Whole, seconds: float) -> Generator[None]:
        ballast = whole.sandbox.path / "runs" / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**16))
        whole.until(lambda: False, seconds)
        yield
        ballast.unlink()


def _clocks() -> None:
    for words, hours in (("ahead", 1), ("back", -1)):

        @_row(f"the clock jumps an hour {words}", "own_clock", _GOES_ON)
        def jump(whole: Whole, seconds: float, hours: int = hours) -> Generator[None]:
            own_clock.jump(whole.sandbox.path, 3600.0 * hours)
            yield


def _starved(whole: Whole, pid: int, seconds: float) -> Generator[None]:
    with no_more_memory(pid):
        killed = whole.until(lambda: pid not in processes(whole.sandbox.path), seconds)
    assert killed, f"process {pid} lived on without more memory for {seconds:g} s"
    yield


def _teachers() -> None:
    @_row("the teacher's file is gone while the run trains", "run", _GOES_ON)
    def lose(whole: Whole, seconds: float) -> Generator[None]:
        path = whole.teachers / f"{GAME}.safetensors"
        path.rename(path.with_suffix(".away"))
        yield
        path.with_suffix(".away").rename(path)

    @_row(
        "another network under the teacher's name at `--resume`",
        "run",
        "is refused with one sentence",
        ends=2,
        says="teacher",
    )
    def change(whole: Whole, seconds: float) -> Generator[None]:
        whole.process.signal(signal.SIGTERM)
        whole.end()
        path = whole.teachers / f"{GAME}.safetensors"
        path.rename(path.with_suffix(".away"))
        shutil.copy(MODEST, path)
        try:
            whole.start()
            whole.end()
        finally:
            path.with_suffix(".away").rename(path)
        yield


for _add in (_signals, _links, _redis, _wire, _machine, _clocks, _teachers, _ends):
    _add()


def _restarted(whole: Whole, seconds: float, meanwhile: Callable[[Path], None]) -> Generator[None]:
    assert whole.server is not None
    with whole.redis() as client:
        # Whatever it acknowledges is seen first.
        client.client_pause(10_000, all=False)
        whole.observe()
    os.kill(whole.redis_pid(), signal.SIGKILL)
    while whole.server.pid is not None:
        time.sleep(0.01)
    meanwhile(whole.sandbox.path / "redis")
    time.sleep(seconds)
    whole.server.start()
    yield


def _remove_data(folder: Path) -> None:
    shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
    (folder / "appendonly.aof").unlink(missing_ok=True)


def _configured(whole: Whole, seconds: float, name: str, value: int, back: int) -> Generator[None]:
    with whole.redis() as client:
        client.config_set(name, value)
        whole.until(lambda: False, seconds)
        yield
        client.config_set(name, back)
