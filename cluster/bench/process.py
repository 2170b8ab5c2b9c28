"""Runs one measurement in a fresh process with chosen cores, and several side by side."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from distill.errors import RunError
from learner.memory import keep_freed_memory

TIMEOUT_SECONDS = 1800.0


def measure(function: Callable[..., Any], *arguments: Any, cores: set[int] | None = None) -> Any:
    """Return what `function(*arguments)` returns in a fresh process with one PyTorch thread.

    Args:
        function: a module-level function.
        arguments: its arguments, picklable.
        cores: the cores it may use; all if None.
    """
    return side_by_side([(function, arguments)], cores=cores)[0]


def side_by_side(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], cores: set[int] | None = None
) -> list[Any]:
    """Return what several functions return that run at the same time, each in a fresh process.

    Raises:
        RunError: if one does not end within half an hour.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(calls), mp_context=context, initializer=_prepare, initargs=(cores,)) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in calls]
        try:
            return [future.result(timeout=TIMEOUT_SECONDS) for future in futures]
        except TimeoutError as error:
            raise RunError(f"bench: a measurement took longer than {TIMEOUT_SECONDS:.0f} s") from error


def _prepare(cores: set[int] | None) -> None:
    # The bare loops get it too: without it they spend a part of their time in page faults.
    keep_freed_memory()
    if cores is not None:
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(1)
