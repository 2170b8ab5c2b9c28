"""Runs `distill` commands as Ray tasks, as many at once as there are cores; each is a process of its own with a log."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import ray
from ray.exceptions import RayError, TaskCancelledError

from cluster.processes.child import Child
from cluster.ray.cluster import RayCluster
from cluster.ray.typed_ray import typed_ray
from cluster.run.stop_request import StopRequest
from cluster.state.folder import RunFolder

POLL_SECONDS = 0.5
SAVE_SECONDS = 90.0
"""In which a run that is asked to stop writes its checkpoint."""
FREE_SECONDS = 60.0
"""In which a process of a killed experiment lets go of its run."""

State = Literal["done", "failed", "stopped", "lacking"]
"""`lacking`: what it needs has failed, so it was not begun."""


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        name: of the job.
        begin: words of the command, after `distill`, that makes the folder.
        resume: those of the command that goes on with the folder if it is there already.
        log: file to which its output is appended.
        folder: of its run.
        needs: names of jobs that must have been done before.
    """

    name: str
    begin: tuple[str, ...]
    resume: tuple[str, ...]
    log: Path
    folder: Path
    needs: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Attributes:
        name: of the job.
        state: how.
        seconds: that it took.
    """

    name: str
    state: State
    seconds: float


def run_jobs(jobs: Sequence[Job], cluster: RayCluster, gpus: float, stop: StopRequest) -> Iterator[Outcome]:
    """Run jobs in this order, as far as what they need lets them; yield how each has ended, as they end.

    When a stop is requested, jobs that run are asked to save and end, and the others are not begun.

    Args:
        jobs: what others need comes first.
        cluster: where.
        gpus: share of a GPU for each.
        stop: whether the user wants to stop.
    """
    work = cast(Any, ray.remote(_work)).options(
        num_cpus=1, num_gpus=gpus, max_retries=0, runtime_env=cluster.environment({"OMP_NUM_THREADS": "1"})
    )
    calls: dict[str, Any] = {}
    for job in jobs:
        needed = [calls[name] for name in job.needs if name in calls]
        calls[job.name] = work.remote(job, *needed)
    waiting = {call: name for name, call in calls.items()}
    cancelled = False
    while waiting:
        ended, _ = typed_ray.wait(list(waiting), num_returns=1, timeout=POLL_SECONDS)
        for call in ended:
            yield _outcome(waiting.pop(call), call)
        if stop.requested and not cancelled:
            cancelled = True
            for call in waiting:
                typed_ray.cancel(call)


def _outcome(name: str, call: Any) -> Outcome:
    try:
        state, seconds = typed_ray.get(call, timeout=POLL_SECONDS)
    except TaskCancelledError:
        return Outcome(name, "stopped", 0.0)
    except RayError:
        return Outcome(name, "failed", 0.0)
    return Outcome(name, state, seconds)


def _work(job: Job, *needed: tuple[State, float]) -> tuple[State, float]:
    """Do a job; return how it has ended and how long it took."""
    if any(state != "done" for state, _ in needed):
        return "lacking", 0.0
    began = time.monotonic()
    while RunFolder(job.folder).in_use() and time.monotonic() < began + FREE_SECONDS:
        time.sleep(POLL_SECONDS)
    words = job.resume if job.folder.exists() else job.begin
    with job.log.open("ab") as output:
        child = Child([sys.executable, "-m", "cluster.cli", *words], stdout=output, stderr=output)
        try:
            while (code := child.code()) is None:
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            # So Ray cancels a task.
            return "stopped", time.monotonic() - began
        finally:
            child.end(SAVE_SECONDS)
    return "done" if code == 0 else "failed", time.monotonic() - began
