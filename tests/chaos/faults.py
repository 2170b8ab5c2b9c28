"""Faults: each begins when its context is entered and has ended when it is left. All of them are real.

A fault that takes something from Redis, or spoils a checkpoint, tells the system, since the books must know.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from cluster.redis.keys import stream_keys
from cluster.redis.typed_redis import typed
from tests.chaos import wire
from tests.chaos.history import StoreLoss
from tests.chaos.parts import Sort
from tests.chaos.system import Running, System

Fault = Callable[[System, Random], AbstractContextManager[None]]

FAULTS: dict[str, Fault] = {}
"""All faults by name, `<kind> <whom>`."""
UNWRITTEN_SECONDS = 2.0
"""What `appendfsync everysec` may lose when Redis is killed; docs/buffer.md."""
START_SECONDS = 15.0
"""What a process that belongs to a fault has to begin its work."""
UNREACHABLE = ("127.0.0.1", 1)
"""A primary that nobody is at."""


def _named(name: str) -> Callable[[Callable[[System, Random], Generator[None]]], Fault]:
    def add(function: Callable[[System, Random], Generator[None]]) -> Fault:
        FAULTS[name] = contextmanager(function)
        return FAULTS[name]

    return add


def _of_parts(role: str) -> None:
    @_named(f"kill {role}")
    def kill(system: System, random: Random) -> Generator[None]:
        random.choice(system.running[role]).signal(signal.SIGKILL)
        yield

    @_named(f"stop {role}")
    def stop(system: System, random: Random) -> Generator[None]:
        running = random.choice(system.running[role])
        running.signal(signal.SIGSTOP)
        yield
        running.signal(signal.SIGCONT)


def _of_links(role: str) -> None:
    @_named(f"cut {role}")
    def cut(system: System, random: Random) -> Generator[None]:
        link = system.links[role]
        link.cut = random.choice([frozenset({"up"}), frozenset({"down"}), frozenset({"up", "down"})])
        yield
        link.cut = frozenset()

    @_named(f"slow {role}")
    def slow(system: System, random: Random) -> Generator[None]:
        link = system.links[role]
        link.delay, link.reset_share = 0.2, 0.05
        yield
        link.delay, link.reset_share = 0.0, 0.0


for _role in ("producer", "learner", "coordinator"):
    _of_parts(_role)
    _of_links(_role)


@_named("replace learner")
def replace_learner(system: System, random: Random) -> Generator[None]:
    """Stop a learner, let another take its place, and let the old one go on beside it for a while."""
    old = system.the("learner")
    old.signal(signal.SIGSTOP)
    old.left_alone = True
    new = system.start_learner()
    system.wait(lambda: _has("saved", new), START_SECONDS)
    old.signal(signal.SIGCONT)
    yield
    old.signal(signal.SIGKILL)


@_named("kill redis")
def kill_redis(system: System, random: Random) -> Generator[None]:
    system.redis_is_down = True
    _kill_redis(system)
    system.store_losses.append(StoreLoss(time.monotonic() - UNWRITTEN_SECONDS, time.monotonic()))
    yield
    system.redis_is_down = False
    system.tend()


@_named("stop redis")
def stop_redis(system: System, random: Random) -> Generator[None]:
    pid = system.redis.pid
    assert pid is not None, "it is tended"
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@_named("kill redis while it rewrites its file")
def kill_rewriting(system: System, random: Random) -> Generator[None]:
    typed(system.client).bgrewriteaof()
    _kill_redis(system)
    system.store_losses.append(StoreLoss(time.monotonic() - UNWRITTEN_SECONDS, time.monotonic()))
    yield
    system.tend()


@_named("empty redis")
def empty_redis(system: System, random: Random) -> Generator[None]:
    system.store_losses.append(StoreLoss(0.0, time.monotonic()))
    system.client.flushall()
    yield


@_named("restart redis empty")
def restart_empty(system: System, random: Random) -> Generator[None]:
    system.redis_is_down = True
    _kill_redis(system)
    system.store_losses.append(StoreLoss(0.0, time.monotonic()))
    _remove_data(system)
    yield
    system.redis_is_down = False
    system.tend()


@_named("restart redis with older data")
def restart_older(system: System, random: Random) -> Generator[None]:
    """Copy what Redis has on its disk, and give it back a few seconds later."""
    saved, since = system.folder / f"aof-{time.monotonic_ns()}", time.monotonic()
    shutil.copytree(system.run_folder / "redis", saved, ignore=shutil.ignore_patterns("server.*", "redis.log"))
    _let_pass(system, random.uniform(1.0, 3.0))
    system.redis_is_down = True
    _kill_redis(system)
    system.store_losses.append(StoreLoss(since - UNWRITTEN_SECONDS, time.monotonic()))
    _remove_data(system)
    shutil.copytree(saved, system.run_folder / "redis", dirs_exist_ok=True)
    yield
    system.redis_is_down = False
    system.tend()


@_named("refuse writes")
def refuse(system: System, random: Random) -> Generator[None]:
    """Let Redis wait for replicas that it does not have: reads go on. A full disk's MISCONF does the same."""
    system.client.config_set("min-replicas-to-write", 1)
    yield
    system.client.config_set("min-replicas-to-write", 0)


@_named("demote redis")
def demote(system: System, random: Random) -> Generator[None]:
    """Make Redis a replica of a primary that cannot be reached: reads go on."""
    system.client.config_set("replica-read-only", "yes")
    system.client.replicaof(*map(str, UNREACHABLE))
    yield
    system.client.replicaof("NO", "ONE")


@_named("fill redis")
def fill(system: System, random: Random) -> Generator[None]:
    """Leave Redis no more memory than it uses."""
    system.client.config_set("maxmemory", typed(system.client).info("memory")["used_memory"])
    yield
    system.client.config_set("maxmemory", 0)


@_named("push damaged chunks")
def push_damaged(system: System, random: Random) -> Generator[None]:
    yield from _spoil(system, "damaged")


@_named("push another schema")
def push_schema(system: System, random: Random) -> Generator[None]:
    yield from _spoil(system, "schema")


@_named("let another run of this name push")
def push_strange(system: System, random: Random) -> Generator[None]:
    yield from _spoil(system, "stranger")


def _spoil(system: System, sort: Sort) -> Generator[None]:
    vandal = system.start_producer(system.producers, sort)
    system.wait(lambda: _has("acknowledged", vandal), START_SECONDS)
    yield
    vandal.left_alone = True
    (vandal.part.journals / f"{vandal.part.name}.stop").touch()


@_named("poison the stream")
def poison(system: System, random: Random) -> Generator[None]:
    """Do what somebody could who may write to the stream, and only that."""
    keys = stream_keys(wire.RUN, wire.GAME, 0)
    at = time.monotonic()
    choice = random.choice(["entry", "meta", "cursors"])
    if choice == "entry":
        system.client.xadd(keys.chunks, {"data": b"x"}, id=f"{int(time.time() * 1000)}-0")
    else:
        system.client.delete(keys.meta if choice == "meta" else keys.cursors)
    system.store_losses.append(StoreLoss(0.0, at))
    yield


@_named("flip bits of a checkpoint")
def flip_checkpoint(system: System, random: Random) -> Generator[None]:
    """Kill the learner, and turn bits over in its newest checkpoint before another one begins."""
    system.the("learner").signal(signal.SIGKILL)
    if files := system.checkpoint_files():
        system.spoiled.add(system.token_of(files[-1]))
        data = bytearray(files[-1].read_bytes())
        for _ in range(8):
            data[random.randrange(len(data) * 3 // 4, len(data))] ^= 1 << random.randrange(8)
        files[-1].write_bytes(data)
    yield


@_named("remove the manifest")
def remove_manifest(system: System, random: Random) -> Generator[None]:
    """Kill the learner, and do what is sometimes advised: remove the list of checkpoints, not the checkpoints."""
    system.the("learner").signal(signal.SIGKILL)
    for manifest in (system.run_folder / "checkpoints").glob("*/manifest.json"):
        manifest.unlink()
    yield


def _has(event: str, running: Running) -> bool:
    return any(noted["event"] == event for noted in running.journal.events())


def _let_pass(system: System, seconds: float) -> None:
    system.wait(lambda: False, seconds)


def _kill_redis(system: System) -> None:
    pid = system.redis.pid
    assert pid is not None, "it is tended"
    os.kill(pid, signal.SIGKILL)
    while system.redis.pid is not None:
        time.sleep(0.01)


def _remove_data(system: System) -> None:
    shutil.rmtree(system.run_folder / "redis" / "appendonlydir", ignore_errors=True)
    (system.run_folder / "redis" / "appendonly.aof").unlink(missing_ok=True)
