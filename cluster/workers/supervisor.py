"""Keeps Ray actors at work: bounded calls in flight, replacement of the dead, and an end to restart loops."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import RayError, RayTaskError

from cluster.ray.connection import workers_trouble
from cluster.ray.typed_ray import typed_ray
from distill.errors import BufferUnavailable, DistillError, ReplacedError, RunError

log = logging.getLogger(__name__)

GET_TIMEOUT_SECONDS = 30.0
_OUTAGE = f"{BufferUnavailable.__module__}.{BufferUnavailable.__qualname__}: "


@dataclass(frozen=True)
class Patience:
    """How long a worker is waited for, and how often it is replaced.

    Attributes:
        call_seconds: a call without an answer after that time counts as a failure. The first one includes the start.
        first_backoff_seconds: wait before a replacement; it doubles with every failure within `budget_seconds`.
        max_backoff_seconds: longest such wait.
        failures: within `budget_seconds` that are borne; one more ends the run.
        budget_seconds: after that time a failure is forgotten.
        silent_starts: of a worker that never gave an answer, starts without one that are borne; one more ends the run.
    """

    call_seconds: float = 120.0
    first_backoff_seconds: float = 0.5
    max_backoff_seconds: float = 30.0
    failures: int = 10
    budget_seconds: float = 600.0
    silent_starts: int = 1


@dataclass
class Worker:
    """One actor that is called again and again.

    Attributes:
        name: unique name, for messages.
        role: `collector`, `learner` or `evaluator`.
        make: starts the actor; takes how often it was started before.
        submit: makes its next call, or returns None if there is nothing to do.
        depth: calls in flight at most; two keep an actor busy while the answer of the first is read.
        essential: whether an error of ours in it ends the run, instead of a restart.
        processes: that it is, those included which the actor starts itself.
    """

    name: str
    role: str
    make: Callable[[int], Any]
    submit: Callable[[Any], Any]
    depth: int = 2
    essential: bool = False
    processes: int = 1
    handle: Any = None
    incarnation: int = 0
    calls: deque[tuple[Any, float]] = field(default_factory=deque[tuple[Any, float]])
    start_at: float = 0.0
    failures: deque[tuple[float, str]] = field(default_factory=deque[tuple[float, str]])
    outages: int = 0
    answered: bool = False
    silent_starts: int = 0
    on_retired: Callable[[Any], None] | None = None


class Supervisor:
    """Runs workers until told to stop.

    Args:
        on_restart: called with the worker and the reason whenever one is replaced.
        patience: with workers that fail or do not answer.
        trouble: returns what has become of a Ray that is gone, empty as long as it is there.
    """

    def __init__(
        self,
        on_restart: Callable[[Worker, str], None],
        patience: Patience | None = None,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._workers: list[Worker] = []
        self._roles: set[str] = set()
        self._on_restart = on_restart
        self._patience = patience or Patience()
        self._trouble = trouble

    def add(self, worker: Worker) -> None:
        """Start a worker."""
        self._workers.append(worker)
        self._roles.add(worker.role)
        self._start(worker)

    def retire(self, worker: Worker, finish: Callable[[Any], Any], on_retired: Callable[[Any], None]) -> None:
        """Make a worker's last call and end it when that is answered, which `poll` sees; its answers are not yielded.

        Args:
            worker: one that was added.
            finish: makes the call.
            on_retired: called with the answer, or with None if there was none.
        """
        worker.on_retired = on_retired
        if worker.handle is None:
            self._end(worker, None)
        else:
            # Ray runs an actor's calls in order: this one comes after those in flight.
            worker.calls.append((finish(worker.handle), time.monotonic()))

    def poll(self, timeout: float) -> Iterator[tuple[Worker, Any]]:
        """Keep every worker busy and yield the answers that came within `timeout` seconds.

        Raises:
            RunError: if a worker fails again and again, with the failure that began it; or if Ray is gone.
            DistillError: what an essential worker raised.
            ReplacedError: if the run goes on elsewhere.
        """
        self._require_ray()
        for worker in self._workers:
            if worker.on_retired is None:
                self._keep_busy(worker)
        oldest = {worker.calls[0][0]: worker for worker in self._workers if worker.calls}
        if not oldest:
            time.sleep(timeout)
            return
        typed_ray.wait(list(oldest), num_returns=1, timeout=timeout, fetch_local=False)
        ready, waiting = typed_ray.wait(list(oldest), num_returns=len(oldest), timeout=0.0, fetch_local=False)
        for call in ready:
            worker = oldest[call]
            try:
                answer = typed_ray.get(call, timeout=GET_TIMEOUT_SECONDS)
            except RayTaskError as error:
                self._on_error(worker, error)
            except RayError as error:
                # Workers end with their raylet, which then is what has to be told.
                self._require_ray()
                self._on_death(worker, str(error))
            else:
                worker.calls.popleft()
                worker.answered, worker.outages = True, 0
                if worker.on_retired is None:
                    yield worker, answer
                elif not worker.calls:
                    self._end(worker, answer)
        for call in waiting:
            worker = oldest[call]
            seconds = time.monotonic() - worker.calls[0][1]
            if seconds > self._patience.call_seconds:
                self._on_silence(worker, seconds)

    def _require_ray(self) -> None:
        trouble = self._trouble()
        if trouble:
            # Nobody is left who could answer, whatever he is told at the end.
            self._workers.clear()
            raise RunError(f"ray: {trouble}, and with it all actors and learners that ran there")

    def _keep_busy(self, worker: Worker) -> None:
        if worker.handle is None and time.monotonic() >= worker.start_at:
            self._start(worker)
        while worker.handle is not None and len(worker.calls) < worker.depth:
            call = worker.submit(worker.handle)
            if call is None:
                break
            worker.calls.append((call, time.monotonic()))

    def _start(self, worker: Worker) -> None:
        worker.handle = worker.make(worker.incarnation)
        worker.incarnation += 1

    def _end(self, worker: Worker, answer: Any) -> None:
        kill(worker.handle)
        worker.handle = None
        worker.calls.clear()
        self._workers.remove(worker)
        if worker.on_retired is not None:
            worker.on_retired(answer)

    def _on_error(self, worker: Worker, error: RayTaskError) -> None:
        cause = error.cause
        if isinstance(cause, ReplacedError):
            # Who is asked here is the newest of its role: if that was replaced, so was this process.
            raise cause
        if isinstance(cause, BufferUnavailable):
            self._on_outage(worker, str(cause))
        elif worker.essential and isinstance(cause, DistillError):
            raise cause
        else:
            self._on_failure(worker, str(error))

    def _on_death(self, worker: Worker, reason: str) -> None:
        # What a constructor has raised, Ray tells in words alone: those of a traceback.
        if reason.strip().rpartition("\n")[2].startswith(_OUTAGE):
            self._on_outage(worker, reason)
        else:
            self._on_failure(worker, reason)

    def _on_outage(self, worker: Worker, reason: str) -> None:
        """Replace a worker that missed the buffer service: no fault of its own, and so none of its failures."""
        worker.outages += 1
        self._replace(worker, reason, worker.outages)

    def _on_silence(self, worker: Worker, seconds: float) -> None:
        if not worker.answered:
            worker.silent_starts += 1
            if worker.silent_starts > self._patience.silent_starts:
                # What keeps it from starting will not go away by trying on.
                raise RunError(
                    f"{worker.name}: started {worker.silent_starts} times, and never an answer within"
                    f" {self._patience.call_seconds:.0f} s; {workers_trouble()}"
                )
        self._on_failure(worker, f"no answer for {seconds:.0f} s")

    def _on_failure(self, worker: Worker, reason: str) -> None:
        now, patience, failures = time.monotonic(), self._patience, worker.failures
        failures.append((now, reason))
        while failures[0][0] < now - patience.budget_seconds:
            failures.popleft()
        if worker.on_retired is None and len(failures) > patience.failures:
            raise RunError(
                f"{worker.name} failed {len(failures)} times within {patience.budget_seconds:.0f} s;"
                f" the first time:\n{failures[0][1]}"
            )
        self._replace(worker, reason, len(failures))

    def _replace(self, worker: Worker, reason: str, times: int) -> None:
        if worker.on_retired is not None:
            log.warning("%s did not finish: %s", worker.name, reason)
            self._end(worker, None)
            return
        kill(worker.handle)
        worker.handle = None
        worker.calls.clear()
        backoff = self._patience.first_backoff_seconds * 2 ** min(times - 1, 16)
        worker.start_at = time.monotonic() + min(self._patience.max_backoff_seconds, backoff)
        self._on_restart(worker, reason)

    def drain(self, role: str, timeout: float) -> None:
        """Let a role's calls in flight end, within `timeout` seconds, and make no more."""
        workers = [worker for worker in self._workers if worker.role == role]
        calls = [call for worker in workers for call, _ in worker.calls]
        if calls:
            typed_ray.wait(calls, num_returns=len(calls), timeout=timeout, fetch_local=False)
        self._workers = [worker for worker in self._workers if worker.role != role]
        for worker in workers:
            worker.calls.clear()
            if worker.on_retired is not None:
                kill(worker.handle)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return by role how many processes work, and how many should; roles that were drained have none."""
        found: dict[str, tuple[int, int]] = dict.fromkeys(self._roles, (0, 0))
        for worker in self._workers:
            alive, desired = found[worker.role]
            if worker.on_retired is None:
                working = worker.processes if worker.handle is not None else 0
                found[worker.role] = alive + working, desired + worker.processes
        return found

    def handles(self, role: str) -> list[Any]:
        """Return the living actors of a role, retired ones left out."""
        workers = [worker for worker in self._workers if worker.role == role and worker.on_retired is None]
        return [worker.handle for worker in workers if worker.handle is not None]

    def handles_of(self, name: str) -> list[Any]:
        """Return the living actor of a worker, in a list that is empty while it has none."""
        return [worker.handle for worker in self._workers if worker.name == name and worker.handle is not None]


def kill(handle: Any) -> None:
    """End an actor at once; it may be dead already."""
    if handle is not None:
        try:
            typed_ray.kill(handle)
        except RayError as error:
            log.debug("kill: %s", error)


def finish(calls: list[Any], timeout: float, what: str, errors: list[str] | None = None) -> list[Any]:
    """Return the answers of last calls, within `timeout` seconds; those that fail are logged and left out.

    Args:
        calls: to be answered.
        timeout: in seconds.
        what: who answers, for the log.
        errors: to which the sentences of those are added that raise an error of ours.
    """
    answers: list[Any] = []
    if not calls:
        return answers
    ready, late = typed_ray.wait(calls, num_returns=len(calls), timeout=timeout)
    if late:
        log.warning("%s: %d of %d did not answer within %.0f s", what, len(late), len(calls), timeout)
    for call in ready:
        try:
            answers.append(typed_ray.get(call, timeout=GET_TIMEOUT_SECONDS))
        except RayTaskError as error:
            if errors is not None and isinstance(error.cause, DistillError):
                errors.append(str(error.cause))
            else:
                log.warning("%s: %s", what, error)
        except RayError as error:
            log.warning("%s: %s", what, error)
    return answers
