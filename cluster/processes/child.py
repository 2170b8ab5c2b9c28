"""Starts and ends child processes: in a session of their own, tied to this process, and heard until they are ready."""

import contextlib
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from cluster.processes import die_with_parent


class Child:
    """A child process that ctrl-C at the terminal does not reach, and that does not outlive this process.

    What it prints on standard output can be waited for; its complaints go to a file, since a pipe that nobody reads
    would stop it as soon as it is full.

    Args:
        command: program and arguments.
        folder: for the file of complaints; the usual temporary folder if None.
        held: keep its standard input open, whose end tells it to end; otherwise Linux ends it by SIGTERM when the
            thread that has started it ends, so start it from the main thread.
        options: further arguments of `subprocess.Popen`, such as other places for its output.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, held: bool = False, **options: Any
    ) -> None:
        if sys.platform == "linux" and not held:
            command = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *command]
        self._complaints: IO[bytes] | None = None
        if "stderr" not in options:
            self._complaints = options["stderr"] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `end` closes it
        places: dict[str, Any] = {"stdin": subprocess.PIPE if held else subprocess.DEVNULL, "stdout": subprocess.PIPE}
        try:
            self._process = subprocess.Popen(command, start_new_session=True, **places | options)
        except BaseException:
            self._close_complaints()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.poll()

    def line(self, seconds: float) -> str:
        """Return the next line that it prints, empty if it ends or prints none within that time.

        It must print no line before the last one was asked for.
        """
        output = self._process.stdout
        assert output is not None, "its output is not elsewhere"
        ready, _, _ = select.select([output], [], [], seconds)
        return output.readline().decode(errors="replace").strip() if ready else ""

    def tell(self, line: str) -> None:
        """Write a line to its standard input, which must be held; raises OSError if it has ended."""
        held = self._process.stdin
        assert held is not None, "its input is held"
        held.write(line.encode() + b"\n")
        held.flush()

    def complaints(self) -> str:
        """Return what it has written on standard error so far."""
        assert self._complaints is not None, "its complaints are not elsewhere"
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """End it at once; `end` is still to be called."""
        self._process.kill()

    def end(self, seconds: float) -> bool:
        """Let it end; kill it after that time, and return whether that was not needed."""
        process = self._process
        if process.stdin is None:
            process.terminate()
        else:
            # What it has not read before it ended is lost.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        if process.stdout is not None:
            process.stdout.close()
        self._close_complaints()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
            return False
        return True

    def _close_complaints(self) -> None:
        if self._complaints is not None:
            self._complaints.close()
