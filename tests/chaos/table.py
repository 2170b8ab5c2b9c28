"""Does the rows of the table of faults, each several times, and says what came of them."""

import contextlib
import statistics
import subprocess
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import redis

from tests.chaos.rows import Row
from tests.chaos.whole import RECOVERY_SECONDS, START_SECONDS, On, Whole, not_here, started

MOST_WORDS = 500
"""Characters of why a row is not green."""


@dataclass(frozen=True)
class Result:
    """What came of a row.

    Attributes:
        row: its name.
        on: the kind of run.
        promise: of the row.
        seconds: that the fault lasted.
        recovery: median of the seconds until all was well, None if it never was.
        times: how often it was done.
        lost: chunks.
        doubled: transitions.
        failure: why the row is not green, empty if it is.
    """

    row: str
    on: On
    promise: str
    seconds: float
    recovery: float | None
    times: int
    lost: int
    doubled: int
    failure: str


def tabulate(rows: Iterable[Row], *, times: int = 3, short: bool = False) -> Generator[Result]:
    """Do rows, each so many times; yield a result for each."""
    by_kind: dict[On, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row.on, []).append(row)
    for kind, members in by_kind.items():
        if why := not_here(kind):
            yield from (
                Result(row.name, row.on, row.promise, 0.0, None, 0, 0, 0, f"not tried: {why}") for row in members
            )
            continue
        yield from _tabulate(kind, members, times, short=short)


def _tabulate(kind: On, rows: Iterable[Row], times: int, *, short: bool) -> Generator[Result]:
    """Do the rows of one kind of run, which share a run until one of them fails: nobody knows what it leaves behind."""
    with contextlib.ExitStack() as stack:
        whole: Whole | None = None
        for row in rows:
            try:
                whole = whole or stack.enter_context(started(kind))
            except AssertionError as error:
                yield Result(row.name, row.on, row.promise, 0.0, None, 0, 0, 0, f"not begun: {error}"[:MOST_WORDS])
                continue
            result = _done(row, whole, times, row.seconds[short])
            yield result
            if result.failure:
                stack.pop_all().close()
                whole = None


def _done(row: Row, whole: Whole, times: int, seconds: float) -> Result:
    recoveries: list[float] = []
    failure = ""
    lost = doubled = 0
    for _ in range(times):
        try:
            recovery, failure = _once(row, whole, seconds)
        except (AssertionError, OSError, redis.RedisError, StopIteration, subprocess.SubprocessError) as error:
            recovery, failure = None, f"{type(error).__name__}: {error}"[:MOST_WORDS]
        if recovery is not None:
            recoveries.append(recovery)
            books = whole.books()
            lost, doubled = max(lost, books.lost), max(doubled, books.doubled)
        if lost or doubled:
            failure = failure or f"{lost} chunks lost, {doubled} transitions doubled"
        if failure:
            break
    recovery = round(statistics.median(recoveries), 1) if recoveries else None
    return Result(row.name, row.on, row.promise, seconds, recovery, len(recoveries), lost, doubled, failure)


def _once(row: Row, whole: Whole, seconds: float) -> tuple[float | None, str]:
    """Do a row once; return the seconds of recovery, and why it failed, if it did."""
    restarts = whole.process.output.count("Traceback")
    with row.inject(whole, seconds):
        pass
    if row.ends is not None:
        code = whole.end()
        output = whole.process.output
        if code != row.ends or row.says not in output:
            return None, f"ended with {code}, expected {row.ends} and {row.says!r}; its last words: {output[-300:]}"
        if "Traceback" in output:
            return None, f"a traceback: {output[-300:]}"
        whole.start()
    recovery = whole.recover(START_SECONDS if row.ends is not None else RECOVERY_SECONDS)
    if recovery is None:
        code = whole.process.code
        ended = "" if code is None else f"; the run ended with {code}"
        return None, f"not well again within {RECOVERY_SECONDS:g} s{ended}: {whole.process.output[-300:]}"
    if whole.process.output.count("Traceback") > restarts:
        return recovery, f"a traceback: {whole.process.output[-300:]}"
    return recovery, ""
