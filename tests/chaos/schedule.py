"""Seeded schedules of faults, and what a system does under one."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.faults import FAULTS
from tests.chaos.history import Books, Violation, check
from tests.chaos.seen import history_of
from tests.chaos.step import Span, Step
from tests.chaos.system import System

OVERLAP_SHARE = 0.3
"""How often a second fault begins before the first one has ended."""
LEAST_SECONDS, MOST_SECONDS = 0.3, 4.0


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule.

    Attributes:
        seed: of the schedule.
        steps: that were done.
        recoveries: seconds from the end of each step's last fault, None where the system did not recover.
        books: of the chunks.
        violations: broken promises.
    """

    seed: int
    steps: tuple[Step, ...]
    recoveries: tuple[float | None, ...]
    books: Books
    violations: tuple[Violation, ...]


def schedule(seed: int, steps: int, names: Sequence[str] = ()) -> list[Step]:
    """Return a schedule: the same one for the same seed.

    Args:
        seed: of all choices.
        steps: how many.
        names: faults to choose from; all if empty.
    """
    random = Random(seed)
    pool = list(names) or sorted(FAULTS)
    found: list[Step] = []
    for _ in range(steps):
        first = Span(random.choice(pool), _seconds(random))
        others = [name for name in pool if _target(name) != _target(first.fault)]
        overlaps = others and random.random() < OVERLAP_SHARE
        second = (
            (Span(random.choice(others), _seconds(random), random.uniform(0.0, first.seconds)),) if overlaps else ()
        )
        found.append((first, *second))
    return found


def _seconds(random: Random) -> float:
    return round(random.uniform(LEAST_SECONDS, MOST_SECONDS), 2)


def _target(name: str) -> str:
    """Return whom a fault is about: two about the same one would undo each other."""
    return next((target for target in ("producer", "learner", "coordinator") if target in name), "redis")


def run_schedule(seed: int, steps: Sequence[Step], mutation: str | None = None) -> Outcome:
    """Let a system run under a schedule, stop it, and check its history."""
    random = Random(seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, System(Path(folder), mutation=mutation) as system:
        system.recover()
        recoveries = [_do(step, system, random) for step in steps]
        system.finish()
        books, violations = check(history_of(system))
        return Outcome(seed, tuple(steps), tuple(recoveries), books, (*system.violations, *violations))


def _do(step: Step, system: System, random: Random) -> float | None:
    """Inject a step's faults and return the seconds until all is well again."""
    start = time.monotonic()
    waiting = sorted(step, key=lambda span: span.after)
    lasting: list[tuple[float, ExitStack]] = []
    with ExitStack() as everything:
        while waiting or lasting:
            now = time.monotonic()
            if waiting and now >= start + waiting[0].after:
                span = waiting.pop(0)
                fault = everything.enter_context(ExitStack())
                fault.enter_context(FAULTS[span.fault](system, random))
                # Some take a while to begin.
                lasting.append((time.monotonic() + span.seconds, fault))
            for until, fault in [pair for pair in lasting if now >= pair[0]]:
                fault.close()
                lasting.remove((until, fault))
            system.tend()
            time.sleep(0.01)
    return system.recover()
