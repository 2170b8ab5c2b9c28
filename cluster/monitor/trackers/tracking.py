"""Hands a run's figures to a tracker in a process of its own, so that it can neither delay nor end the run.

Whatever a library does there, be it a server that does not answer, a crash or an exit, costs figures alone. These are
counted as `distill_write_failures_total` of that tracker.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from cluster.monitor.trackers import child as child_program
from cluster.monitor.trackers.child import END, TAKEN
from cluster.monitor.trackers.tracker import Tracked, scalars
from cluster.processes.child import Child
from cluster.state.unwritten import Unwritten
from distill.machine_errors import machine_error

MOST_WAITING = 64
"""Rows that wait for a slow tracker: 5 minutes of them."""
ANSWER_SECONDS = 120.0
"""After which a tracker is given up and another one is started; the libraries' first import and login are in it."""
CLOSE_SECONDS = 30.0
"""For which a run that has ended waits for a tracker."""
RESTART_SECONDS = 60.0
"""Between the end of a tracker's process and the start of another one."""
_POLL_SECONDS = 0.2
_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own defaults try for longer than rows can wait; what the user has set stays."""


class Tracking:
    """A tracker of one kind.

    Args:
        kind: see `catalogue`.
        run: what is tracked.
        unwritten: counts what is dropped, and tells it.
    """

    def __init__(self, kind: str, run: Tracked, unwritten: Unwritten) -> None:
        self._kind, self._run, self._unwritten = kind, run, unwritten
        self._rows: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ending, self._given_up = threading.Event(), threading.Event()
        self._child: Child | None = None
        self._ended, self._start_at = "", 0.0
        self._thread = threading.Thread(target=self._work, name=f"{kind} tracker", daemon=True)
        self._thread.start()

    def write(self, updates: int, row: Mapping[str, Any]) -> None:
        """Hand over the numbers of a row, or drop and count it; this never waits."""
        self._take_outcomes()
        try:
            self._rows.put_nowait(json.dumps([updates, dict(scalars(row))]))
        except queue.Full:
            self._unwritten.refused(self._kind, f"it is slow: {MOST_WAITING} rows wait for it, and no more may")

    def close(self) -> None:
        """Wait a little for what was handed over; the rest is dropped and counted."""
        self._ending.set()
        self._thread.join(CLOSE_SECONDS)
        self._given_up.set()
        self._take_outcomes()
        if self._thread.is_alive():
            self._unwritten.refused(self._kind, f"it did not end within {CLOSE_SECONDS:g} s", self._rows.qsize() + 1)
            if self._child is not None:
                self._child.kill()
            self._thread.join(_POLL_SECONDS)

    def _take_outcomes(self) -> None:
        with suppress(queue.Empty):
            while True:
                if reason := self._outcomes.get_nowait():
                    self._unwritten.refused(self._kind, reason)
                else:
                    self._unwritten.written(self._kind)

    def _work(self) -> None:
        try:
            while not self._given_up.is_set():
                try:
                    row = self._rows.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    if self._ending.is_set():
                        break
                    continue
                self._note(self._hand_over(row))
            if self._child is not None and (lost := self._hand_over(END)):
                self._note(lost)
        finally:
            self._end_child()

    def _note(self, outcome: str) -> None:
        # What is given up is counted by `close`.
        if not self._given_up.is_set():
            self._outcomes.put(outcome)

    def _hand_over(self, row: str) -> str:
        """Return why a row was not taken, empty if it was."""
        now = time.monotonic()
        if self._child is None and now < self._start_at:
            return self._ended
        answer, why = "", ""
        try:
            child = self._child or self._start()
            child.tell(row)
            answer = child.line(ANSWER_SECONDS)
        except OSError as error:
            why = machine_error(error)
        if answer:
            return "" if answer == TAKEN else answer
        if time.monotonic() - now >= ANSWER_SECONDS:
            why = f"no answer within {ANSWER_SECONDS:g} s"
        elif self._child is not None:
            last = self._child.complaints().splitlines()[-1:]
            why = ": ".join(["its process has ended", *last])
        self._end_child()
        self._ended, self._start_at = why, time.monotonic() + RESTART_SECONDS
        return why

    def _start(self) -> Child:
        environment = _ENVIRONMENT | os.environ
        program = [sys.executable, "-m", child_program.__name__, self._kind]
        child = self._child = Child(program, held=True, env=environment)
        child.tell(json.dumps(asdict(self._run), default=str))
        return child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end(CLOSE_SECONDS)
            self._child = None
