"""Ends whatever a process has started, also what its children have started and left behind."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_SECONDS = 0.01


def adopt_orphans() -> None:
    """Become the parent of all below this process whose own parent ends, as far as the system allows it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_children(seconds: float) -> None:
    """Kill all children and those that become children meanwhile, until none is left or that time is over."""
    deadline = time.monotonic() + seconds
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        # One that is killed stays a child until its end is asked for.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_LOOK_SECONDS)


def _children() -> list[int]:
    return [int(pid) for threads in Path("/proc/self/task").glob("*/children") for pid in threads.read_text().split()]
