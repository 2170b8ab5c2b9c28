"""Connects this process to a Ray, and finds out at once whether Ray's workers start there."""

import contextlib
import logging
import os
import signal
import sysconfig
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import ray
import ray._private.worker
from ray.exceptions import GetTimeoutError, RayError

from cluster.processes.leaving import leave_at_once
from cluster.ray.typed_ray import typed_ray
from distill.errors import RunError

log = logging.getLogger(__name__)

WORKER_SECONDS = 60.0
"""For a first worker, which does no more than import Ray. Ray itself tries again after that time, for ever."""


def connect(address: str) -> None:
    """Connect to the Ray at an address.

    Raises:
        ConnectionError, RuntimeError, ValueError, OSError: whatever Ray says if it cannot be reached.
    """
    handler = signal.getsignal(signal.SIGTERM)
    keep_output_ours()
    try:
        with _in_the_standard_library():
            typed_ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    finally:
        if threading.current_thread() is threading.main_thread():
            # Ray makes SIGTERM its own, where it would end this process before anything is saved.
            signal.signal(signal.SIGTERM, handler)


def disconnect(trouble: str) -> None:
    """Disconnect this process from Ray.

    Args:
        trouble: what has become of a Ray that is gone: to disconnect from it would take a quarter of a minute, and to
            end without that as Python does would crash. Empty if it is there.
    """
    if trouble:
        leave_at_once()
    else:
        typed_ray.shutdown()


def keep_output_ours() -> None:
    """Keep Ray from printing a dying daemon's log on this process's standard output, which no setting of Ray's does."""
    ray._private.worker.print_to_stdstream = _log_told  # pyright: ignore[reportPrivateUsage]


def require_workers(what: str, seconds: float = WORKER_SECONDS) -> None:
    """Wait until a worker has answered.

    Args:
        what: the Ray, for the message.
        seconds: how long.

    Raises:
        RunError: with the cause, as far as Ray tells it.
    """
    try:
        typed_ray.get(ray.remote(num_cpus=0)(_answer).remote(), timeout=seconds)
    except GetTimeoutError as error:
        raise RunError(f"{what}: none of its workers has started within {seconds:g} s; {workers_trouble()}") from error
    except RayError as error:
        raise RunError(f"{what}: its first worker has failed: {_last_line(str(error))}") from error


def workers_trouble() -> str:
    """Return the last words of workers of the Ray that this process is connected to, if they are on this machine."""
    node = ray._private.worker.global_worker.node  # pyright: ignore[reportPrivateUsage] - Ray tells it in no other way
    return last_words(Path(node.get_logs_dir_path())) if node is not None else "no Ray is there"


def last_words(logs: Path) -> str:
    """Return the last line that a worker has written before it ended, as a part of a sentence.

    Args:
        logs: Ray's folder of logs.
    """
    # A worker that could not be started writes to raylet's file, one that ended early to its own.
    for pattern in ("raylet.err", "worker-*.err"):
        for file in sorted(logs.glob(pattern)):
            with contextlib.suppress(OSError):
                if last := _last_line(file.read_text(errors="replace")):
                    return f"the last line of Ray's {file.name} is: {last}"
    return "Ray's logs name no cause; is the machine short of memory or processes?"


def _log_told(told: Mapping[str, Any], ignore_prefix: bool = False) -> None:
    del ignore_prefix
    log.debug("told by Ray's %s: %s", told.get("pid"), "\n".join(told["lines"]))


def _answer() -> bool:
    return True


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


@contextlib.contextmanager
def _in_the_standard_library() -> Generator[None]:
    """Be in the folder of Python's own library for a while.

    Ray puts the current folder of whoever connects first on its workers' path of modules, where a `queue.py` that lies
    there by chance would be taken for Python's. The standard library is on that path anyway, and hides nothing.
    """
    try:
        here = os.open(".", os.O_PATH)
    except PermissionError:
        # Nobody can import from a folder that he may not enter.
        yield
        return
    try:
        os.chdir(sysconfig.get_path("stdlib"))
        try:
            yield
        finally:
            os.fchdir(here)
    finally:
        os.close(here)
