"""Divides a machine's cores among a run's processes, so that they are neither oversubscribed nor waited for."""

import os
from dataclasses import dataclass

LEARNER_THREADS_MAX = 8
"""Networks and minibatches of this size do not gain from more."""


@dataclass(frozen=True)
class Placement:
    """Shares of one machine.

    Attributes:
        cores: cores that this process may use.
        learner_threads: CPU threads of each learner.
        actor_cpus: what each Ray actor asks for; all of them together ask for less than there is, so none pends.
    """

    cores: int
    learner_threads: int
    actor_cpus: float


def available_cores() -> int:
    """Return the cores that this process may use, which taskset or a container can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place(others: int, learners: int, threads: int, cores: int) -> Placement:
    """Return the placement of a run.

    Args:
        others: processes that are no learners: actors, evaluators, a coordinator.
        learners: learners.
        threads: CPU threads that the user wants a learner to have, 0 to choose.
        cores: cores of the machine.

    A learner gets the cores that the others leave. Its threads wait for each other many times an update, so with one
    thread more than there are free cores it is slower than with one thread in all: 42 updates/s beside 119 on 2 cores.
    """
    processes = others + learners
    free = min(LEARNER_THREADS_MAX, max(1, (cores - others) // learners))
    # Ray takes fractions of a CPU in steps of 0.0001; floor keeps the sum below the total.
    share = min(1.0, int(10_000 * cores / processes) / 10_000)
    return Placement(cores, threads or free, share)
