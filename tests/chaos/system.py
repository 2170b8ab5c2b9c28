"""A small run whose parts can be broken one by one: producers, a learner, a coordinator, each a process, and Redis.

It does for them what a run process does: whoever has died is started again. Everything else is done by the parts
themselves, whose journals become the history that is checked.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster.buffer.stats import game_stats
from cluster.redis.connection import connect
from cluster.redis.holder import COORDINATOR, RUN, learner_of
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable, DistillError
from distill.protocols import STUDENT
from tests.chaos import parts, wire
from tests.chaos.history import StoreLoss, Violation
from tests.chaos.journal import JournalReader
from tests.support.tcp_proxy import TcpProxy

RECOVERY_SECONDS = 30.0
"""What every part has, from the end of a fault, to get on with its work."""
POLL_SECONDS = 0.05
DRAIN_SECONDS = 30.0
STOP_SECONDS = 30.0
ROLES = ("producer", "learner", "coordinator")

_HELD = {"producer": RUN, "learner": learner_of(STUDENT), "coordinator": COORDINATOR}
"""What they are called that may be replaced; a producer holds nothing."""

_processes = multiprocessing.get_context("forkserver")
# Forked from a process that has imported everything and started nothing, a part begins in milliseconds. The optimizer
# of a learner would import dynamo.
_processes.set_forkserver_preload(["tests.chaos.parts", "torch._dynamo"])


@dataclass
class Running:
    """A part's process.

    Attributes:
        part: what it was told.
        process: the process.
        journal: what it says.
        sort: of a producer's chunks.
        place: number among those of its role.
        killed: when it was killed, None if it was not.
        left_alone: whether it is nobody's any more, and is not started again when it ends.
    """

    part: parts.Part
    process: ForkServerProcess
    journal: JournalReader
    sort: parts.Sort = "sound"
    place: int = 0
    killed: float | None = None
    left_alone: bool = False

    @property
    def pid(self) -> int:
        pid = self.process.pid
        assert pid is not None, "it was started"
        return pid

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if number == signal.SIGKILL and self.process.is_alive():
            self.killed = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self.process.join(5.0)


@dataclass
class System:
    """The run and what was seen of it.

    Attributes:
        folder: where all its files go.
        producers: how many there are at a time.
        mutation: which mend is to be taken out, None for none.
    """

    folder: Path
    producers: int = 2
    mutation: str | None = None
    running: dict[str, list[Running]] = field(default_factory=lambda: {role: [] for role in ROLES})
    """Living parts by role."""
    gone: list[Running] = field(default_factory=list[Running])
    store_losses: list[StoreLoss] = field(default_factory=list[StoreLoss])
    spoiled: set[str] = field(default_factory=set[str])
    violations: list[Violation] = field(default_factory=list[Violation])
    redis_is_down: bool = False
    """Whether Redis is not to be started again for the time being."""

    def __post_init__(self) -> None:
        self.run_folder, self.journals = self.folder / "run", self.folder / "journals"
        for path in (self.run_folder, self.journals):
            path.mkdir(parents=True)
        self.redis = PrivateRedis(self.run_folder / "redis")
        self.links: dict[str, TcpProxy] = {}
        self._lives = 0

    def __enter__(self) -> Self:
        self.redis.start()
        self.client = connect(self.redis.url, timeout=10.0)
        socket = Path(self.redis.url.removeprefix("unix://"))
        self.links = {role: TcpProxy(lambda: socket) for role in ROLES}
        self.start_learner()
        self.start_coordinator()
        for place in range(self.producers):
            self.start_producer(place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in [*chain(*self.running.values()), *self.gone]:
            if running.process.is_alive():
                running.signal(signal.SIGKILL)
        for link in self.links.values():
            link.close()
        self.client.close()
        self.redis.stop()

    def start_producer(self, place: int = 0, sort: parts.Sort = "sound") -> Running:
        """Start a producer under an id of its own, which is its journal's name."""
        return self._start("producer", parts.produce, place, sort, lambda name: (name, place, sort))

    def start_learner(self) -> Running:
        """Start a learner; the newest one is the rightful one."""
        return self._start("learner", parts.learn)

    def start_coordinator(self) -> Running:
        """Start a coordinator."""
        return self._start("coordinator", parts.coordinate)

    def _start(
        self,
        role: str,
        target: Callable[..., None],
        place: int = 0,
        sort: parts.Sort = "sound",
        arguments: Callable[[str], tuple[Any, ...]] = lambda name: (),
    ) -> Running:
        name = f"{role}-{self._lives}"
        self._lives += 1
        part = parts.Part(
            name, self.links[role].url, self.run_folder, self.journals, self.mutation, _HELD[role], self._lives
        )
        process = _processes.Process(target=target, args=(part, *arguments(name)), name=name, daemon=True)
        process.start()
        running = Running(part, process, JournalReader(self.journals / f"{name}.jsonl"), sort, place)
        self.running[role].append(running)
        return running

    def the(self, role: str) -> Running:
        """Return the newest living part of a role."""
        return self.running[role][-1]

    def tend(self) -> None:
        """Start again whoever has died, as the run process does."""
        if self.redis.pid is None and not self.redis_is_down:
            self.redis.start()
        for role, members in self.running.items():
            for running in [member for member in members if not member.process.is_alive()]:
                members.remove(running)
                self.gone.append(running)
                self._note_end(role, running)
                if running.left_alone:
                    continue
                if role == "producer":
                    self.start_producer(running.place, running.sort)
                elif role == "learner":
                    self.start_learner()
                else:
                    self.start_coordinator()

    def _note_end(self, role: str, running: Running) -> None:
        """Say if a part has ended of itself; a learner that was replaced ought to."""
        if running.killed is not None or running.left_alone:
            return
        last = next((event for event in running.journal.events() if event["event"] == "gave up"), {})
        if last.get("kind") == BufferUnavailable.__name__:
            # At its start it could not connect. The run starts it again, and counts that.
            return
        why = last.get("why", "none")
        self.violations.append(
            Violation("gave up", f"{running.part.name} ended with {running.process.exitcode}; its last word: {why}")
        )

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Tend the parts until a condition holds; return whether it does within that time."""
        deadline = time.monotonic() + seconds
        while True:
            self.tend()
            if condition():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)

    def recover(self) -> float | None:
        """Wait until every part has done all of its work once more; return the seconds, None if one has not."""
        start = time.monotonic()
        if not self.wait(lambda: not self._idle(start), RECOVERY_SECONDS):
            self.violations.append(
                Violation(
                    "stuck", f"{', '.join(self._idle(start))}: not within {RECOVERY_SECONDS:g} s of a fault's end"
                )
            )
            return None
        return max(at for running, events in self._work() for at in _firsts(running, events, start).values()) - start

    def _work(self) -> list[tuple[Running, tuple[str, ...]]]:
        """Return who is to do what."""
        producers = [(running, ("acknowledged",)) for running in self.running["producer"]]
        learner = (self.the("learner"), ("entered", "advanced", "saved", "published"))
        return [*producers, learner, (self.the("coordinator"), ("advanced", "fetched"))]

    def _idle(self, since: float) -> list[str]:
        return [
            f"{running.part.name} has not {event}"
            for running, events in self._work()
            for event in events
            if event not in _firsts(running, events, since)
        ]

    def finish(self) -> None:
        """Let producers flush, the learner read all and write its last checkpoint, and everybody end."""
        self.tend()
        self._stop("producer")
        if not self.wait(lambda: game_stats(self.client, wire.RUN, wire.GAME).unread == 0, DRAIN_SECONDS):
            self.violations.append(Violation("stuck", "the learner has not read what is stored"))
        self._stop("coordinator")
        self._stop("learner")

    def _stop(self, role: str) -> None:
        for running in self.running[role]:
            (self.journals / f"{running.part.name}.stop").touch()
        for running in self.running[role]:
            running.process.join(STOP_SECONDS)
            if running.process.is_alive():
                running.signal(signal.SIGKILL)
                self.violations.append(Violation("stuck", f"{running.part.name} did not stop"))
            elif running.process.exitcode:
                self._note_end(role, running)
            self.gone.append(running)
        self.running[role] = []

    def models(self) -> dict[str, Any]:
        """Return what the registry says at the end."""
        ledger = wire.services(self.redis.url, self.run_folder).ledger(STUDENT)
        best = ledger.resolve("best")
        digest = ""
        if best is not None:
            with suppress(DistillError):
                digest = parts.digest(ledger.fetch(best))
        described: set[int] = set()
        for version in range(1, (ledger.resolve("latest") or 0) + 1):
            with suppress(DistillError):
                ledger.describe(version)
                described.add(version)
        return {
            "described": described,
            "promotions": [promotion.version for promotion in ledger.promotions()],
            "best": None if best is None else (best, digest),
            "verdicts": dict(ledger.verdicts()),
        }

    def checkpoint_files(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return sorted((self.run_folder / "checkpoints" / STUDENT).glob("*.safetensors"))

    def token_of(self, file: Path) -> str:
        """Return what the journals call a checkpoint's file."""
        names = {
            event["file"]: event["token"]
            for running in [*self.running["learner"], *self.gone]
            for event in running.journal.events()
            if event["event"] == "saved"
        }
        return names.get(file.name, json.dumps(file.name))


def _firsts(running: Running, events: tuple[str, ...], since: float) -> dict[str, float]:
    """Return when each of these events came first after a time."""
    found: dict[str, float] = {}
    for event in reversed(running.journal.events()):
        if event["at"] <= since:
            break
        if event["event"] in events:
            found[event["event"]] = event["at"]
    return found
