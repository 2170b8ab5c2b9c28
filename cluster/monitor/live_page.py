"""The live page of a run, served beside it by a `distill watch` of its own, since it plays games."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cluster.processes.child import Child
from distill.errors import RunError

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@contextmanager
def dashboard(folder: Path, port: int) -> Generator[str]:
    """Serve the page on loopback until the end, and yield the line that says where.

    Args:
        folder: the run's.
        port: to listen on; 0 takes a free one.

    Raises:
        RunError: if the page does not start.
    """
    child = Child([sys.executable, "-m", "cluster.cli", "watch", str(folder), "--port", str(port)])
    try:
        line = child.line(START_SECONDS)
        if "http://" not in line:
            found = child.complaints() or "nothing"
            raise RunError(f"dashboard: expected it within {START_SECONDS:.0f} s, found: {found}")
        yield line.partition(" (")[0]
    finally:
        child.end(STOP_SECONDS)
