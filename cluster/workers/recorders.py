"""Records on all cores: a recorder for every series, in this process or each in one of its own.

A series is the same however it is recorded: its recorder plays by itself, and stops at a number of chunks.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import ray

from actors.recording_actor import RecorderSpec, RecorderStatus, RecordingActor
from cluster.ray.cluster import RayCluster
from cluster.workers.shutdown import CLOSE_SECONDS
from cluster.workers.supervisor import Supervisor, Worker, finish, kill

STEPS_PER_SLICE = 32
POLL_SECONDS = 0.25

Told = tuple[RecorderSpec, RecorderStatus]


def record_serially(specs: Sequence[RecorderSpec]) -> Generator[Told | None]:
    """Record in this process, one recorder after the other in turn; yield what they tell."""
    recorders = [(spec, RecordingActor(spec)) for spec in specs]
    left = list(recorders)
    try:
        while left:
            spec, recorder = left.pop(0)
            status = recorder.advance(STEPS_PER_SLICE)
            if not status.done:
                left.append((spec, recorder))
            yield spec, status
    finally:
        for _, recorder in recorders:
            recorder.finish()


def record_on_ray(
    specs: Sequence[RecorderSpec], cluster: RayCluster, on_restart: Callable[[Worker, str], None]
) -> Generator[Told | None]:
    """Record with an actor for each recorder; Ray must be initialised.

    Yields:
        What they tell, and None in between.

    Raises:
        DistillError: what a recorder raised, such as for a full disk.
    """
    supervisor = Supervisor(on_restart)
    recorder = ray.remote(RecordingActor)
    # Together they ask for less than there is, so that they all find a place.
    share = min(1.0, int(10_000 * cluster.cores / (len(specs) + 1)) / 10_000)
    done: set[str] = set()

    def worker(spec: RecorderSpec) -> Worker:
        def make(incarnation: int) -> Any:
            born = replace(spec, incarnation=spec.incarnation + incarnation)
            return recorder.options(**cluster.actor_options(share)).remote(born)

        def submit(handle: Any) -> Any:
            return None if spec.name in done else handle.advance.remote(STEPS_PER_SLICE)

        # One call at a time: a second one would play on after the last chunk, and count episodes that are not there.
        return Worker(spec.name, "recorder", make, submit, depth=1, essential=True)

    by_name = {spec.name: spec for spec in specs}
    for spec in specs:
        supervisor.add(worker(spec))
    try:
        while len(done) < len(specs):
            for one, status in supervisor.poll(POLL_SECONDS):
                if status.done:
                    done.add(one.name)
                yield by_name[one.name], status
            yield None
    finally:
        handles = supervisor.handles("recorder")
        finish([handle.finish.remote() for handle in handles], CLOSE_SECONDS, "recorders")
        for handle in handles:
            kill(handle)
