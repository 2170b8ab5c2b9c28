"""The processes of one cell on Ray: at work all the while, with the newest that each has told of itself."""

import time
from collections.abc import Callable
from typing import Any, NoReturn

from cluster.ray.cluster import RayCluster
from cluster.run.stop_request import StopRequest
from cluster.scale.readings import ActorsReading, LearnerReading
from cluster.workers.episodes import POLL_SECONDS, SLICE_SECONDS
from cluster.workers.shutdown import STOP_SECONDS
from cluster.workers.supervisor import Patience, Supervisor, Worker, finish, kill
from distill.errors import RunError

END_SECONDS = 60.0
_PATIENCE = Patience(call_seconds=240.0, failures=0, silent_starts=0)


class Crew:
    """Keeps actors and a learner at work as a run does, but replaces none of them: a cell with a failure says nothing.

    Args:
        cluster: the Ray that they run on.
        stop: whether the user wants to stop.

    Attributes:
        actors: newest reading of each process of actors, by name.
        learner: newest reading of the learner, None before the first.

    Its methods raise KeyboardInterrupt when the user wants to stop.
    """

    def __init__(self, cluster: RayCluster, stop: StopRequest) -> None:
        self._supervisor = Supervisor(_on_restart, _PATIENCE, cluster.trouble)
        self._stop = stop
        self._handles: list[Any] = []
        self.actors: dict[str, ActorsReading] = {}
        self.learner: LearnerReading | None = None

    def add(self, name: str, role: str, make: Callable[[], Any]) -> None:
        """Start a process, which must have a method `advance(seconds)`.

        Args:
            name: of the process.
            role: `actors` or `learner`.
            make: makes its Ray actor.
        """

        def started(incarnation: int) -> Any:
            del incarnation
            self._handles.append(make())
            return self._handles[-1]

        self._supervisor.add(
            Worker(name, role, started, lambda handle: handle.advance.remote(SLICE_SECONDS), essential=True)
        )

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Go on until the condition holds.

        Raises:
            RunError: if it does not within `seconds`, with `what` was waited for; or if a process fails.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RunError(f"scale: expected {what} within {seconds:g} s; give fewer actors, or a faster machine")
            self._turn()

    def refresh(self) -> None:
        """Go on until every process has told something new. Raises RunError if one of them does not."""
        before = self._times()
        self.until(lambda: not before & self._times(), END_SECONDS, "all processes to answer")

    def during(self, seconds: float) -> None:
        """Go on for `seconds`. Raises RunError if a process fails."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._turn()

    def end(self, role: str, call: Callable[[Any], Any], what: str) -> list[Any]:
        """Let the processes of a role end their slices, make a last call to each, and return the answers.

        Raises:
            RunError: if one of them does not answer.
        """
        handles = self._supervisor.handles(role)
        self._supervisor.drain(role, STOP_SECONDS)
        errors: list[str] = []
        answers = finish([call(handle) for handle in handles], END_SECONDS, what, errors)
        if len(answers) < len(handles):
            raise RunError(f"scale: {'; '.join(errors) or f'{what}: expected an answer within {END_SECONDS:g} s'}")
        return answers

    def close(self) -> None:
        """End all processes at once."""
        for handle in self._handles:
            kill(handle)

    def _times(self) -> set[tuple[str, float]]:
        told = {name: reading.at for name, reading in self.actors.items()}
        return {*told.items(), *([] if self.learner is None else [("learner", self.learner.at)])}

    def _turn(self) -> None:
        if self._stop.requested:
            raise KeyboardInterrupt
        for worker, reading in self._supervisor.poll(POLL_SECONDS):
            if isinstance(reading, ActorsReading):
                self.actors[worker.name] = reading
            elif isinstance(reading, LearnerReading):
                self.learner = reading


def _on_restart(worker: Worker, reason: str) -> NoReturn:
    raise RunError(f"scale: {worker.name} failed: {reason}")
