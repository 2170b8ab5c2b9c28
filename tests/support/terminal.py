"""A command on a pseudo-terminal of its own."""

import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path


def environment(**changes: str | None) -> dict[str, str]:
    """Return this process's environment without what decides about colours and width, and with changes."""
    deciding = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES", "PYTHONIOENCODING",
                "LC_ALL", "COLORTERM")  # fmt: skip
    wanted = {name: value for name, value in os.environ.items() if name not in deciding} | {"TERM": "xterm"}
    return wanted | {name: value for name, value in changes.items() if value is not None}


def on_terminal(
    command: Sequence[str | os.PathLike[str]],
    columns: int,
    cwd: Path,
    env: Mapping[str, str],
    seconds: float = 100.0,
    rows: int = 24,
) -> tuple[int, bytes]:
    """Run a command on a pseudo-terminal of its own; return its exit code and all that the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows if columns else 0, columns, 0, 0))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        got = bytearray()
        while True:
            try:
                got += (part := os.read(ours, 65_536))
            except OSError as error:
                assert error.errno == errno.EIO, "the end of a terminal"
                break
            if not part:
                break
        code = process.wait(seconds)
    os.close(ours)
    return code, bytes(got)
