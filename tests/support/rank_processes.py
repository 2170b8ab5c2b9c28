"""Several ranks as plain processes, which meet here."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from learner.ranks import MeetingPoint, Ranks, Seat

P = ParamSpec("P")
T = TypeVar("T")

HOST = "127.0.0.1"
SECONDS = 120.0
PATIENCE = 5.0
"""Of ranks with each other, in seconds."""
_processes = multiprocessing.get_context("forkserver")
# Forked from a process that has imported everything, a rank begins in milliseconds.
_processes.set_forkserver_preload(["tests.learner.test_ranks", "torch._dynamo"])


class RankProcesses:
    """Two processes, each of which is one rank at a time."""

    size = 2

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, work: Callable[Concatenate[Ranks, P], T], *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Let every rank do the same, and return what they return."""
        point = MeetingPoint(HOST, self.size)
        futures = [self._pool.submit(_as_rank, point.seat(rank), work, *args, **kwargs) for rank in range(self.size)]
        return [future.result(SECONDS) for future in futures]


@contextmanager
def rank_processes() -> Iterator[RankProcesses]:
    """Start the processes, and end them."""
    with ProcessPoolExecutor(RankProcesses.size, mp_context=_processes) as pool:
        yield RankProcesses(pool)


@contextmanager
def mortal_ranks(
    work: Callable[Concatenate[Ranks, P], object], *args: P.args, **kwargs: P.kwargs
) -> Iterator[list[int]]:
    """Let every rank do the same in a process that may be killed, and yield their process ids."""
    point = MeetingPoint(HOST, RankProcesses.size)
    started = [
        _processes.Process(target=_as_rank, args=(point.seat(rank), work, *args), kwargs=kwargs, daemon=True)
        for rank in range(RankProcesses.size)
    ]
    for process in started:
        process.start()
    try:
        yield [process.pid or 0 for process in started]
    finally:
        for process in started:
            process.kill()
            process.join(SECONDS)


def _as_rank(seat: Seat, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    torch.set_num_threads(1)
    ranks = Ranks(seat, torch.device("cpu"), patience=PATIENCE)
    try:
        return work(ranks, *args, **kwargs)
    finally:
        ranks.leave()
