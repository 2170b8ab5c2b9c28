"""The live page of a run, served beside it by a `distill watch` of its own, since it plays games."""

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cluster.redis import die_with_parent
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
    command = [sys.executable, "-m", "cluster.cli", "watch", str(folder), "--port", str(port)]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", str(die_with_parent.__file__), str(os.getpid()), *command]
    # Its complaints go to a file: a pipe that nobody reads would stop it as soon as it is full.
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True
        )
        try:
            assert child.stdout is not None, "it is a pipe"
            started, _, _ = select.select([child.stdout], [], [], START_SECONDS)
            line = child.stdout.readline().decode(errors="replace").strip() if started else ""
            if "http://" not in line:
                complaints.seek(0)
                found = complaints.read().decode(errors="replace").strip() or "nothing"
                raise RunError(f"dashboard: expected it within {START_SECONDS:.0f} s, found: {found}")
            yield line.partition(" (")[0]
        finally:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(STOP_SECONDS)
            if child.stdout is not None:
                child.stdout.close()
