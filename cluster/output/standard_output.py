"""Standard output and error that a command outlives: what nobody can read is dropped, and the command does its work.

`distill run | head` must not cost a training of hours, nor `distill evaluate --out FILE > /dev/full` the file. Python
would raise wherever the command just prints, in the middle of a signal handler as well.
"""

import errno
import io
import os
import select
import sys
from signal import SIGPIPE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = {1: "standard output", 2: "standard error"}
_BROKEN_PIPE = 128 + SIGPIPE
"""What a shell says of a command that SIGPIPE ended, so `set -o pipefail` sees `distill` like any other command."""
_streams: list["_Outlived"] = []


class _Outlived(io.FileIO):
    """A standard stream that takes everything; from the first error on it drops it.

    Attributes:
        error: number of the error since which nothing arrives, or None. The exception itself would keep alive what its
            callers hold.
        ended: whether the command has said all; libraries' last words are dropped.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: int | None = None
        self.ended = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of it, or note why that is not possible."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None and not self.ended:
            try:
                left = left[os.write(self.fileno(), left) :]
            except BlockingIOError:  # who shares the pipe has made it non-blocking
                select.select([], [self], [])
            except OSError as error:
                self.error = error.errno
        return size


def open_standard_streams() -> str | None:
    """Make this process's standard streams such that no command fails because of them.

    What cannot be encoded is written out. Descriptors that are closed are taken, lest a file that is opened later gets
    what is printed.

    Returns:
        What is wrong with standard output, if it is closed.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
    streams = [_Outlived(descriptor) for descriptor in _NAMES]
    encodings = [getattr(stream, "encoding", "utf-8") for stream in (sys.stdout, sys.stderr)]
    # Unbuffered: nothing is left to be written at exit, and a signal handler may print in the middle of a print.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(stream, encoding, "backslashreplace", write_through=True)
        for stream, encoding in zip(streams, encodings, strict=True)
    )
    _streams[:] = streams
    return "standard output is closed; send it somewhere, to /dev/null for instance" if 1 in closed else None


def lost_output() -> str | None:
    """Return what has become of the standard streams, or None while both arrive."""
    lost = [f"{name}: {os.strerror(s.error)}" for s, name in zip(_streams, _NAMES.values(), strict=False) if s.error]
    return ", ".join(lost) or None


def exit_code(code: int) -> int:
    """Return the exit code of a command that would end with `code`, and say so if not all could be printed."""
    stdout = _streams[0]
    # A library that Ray brings along resets colours at exit, on a terminal that has none as well.
    stdout.ended = True
    error = stdout.error
    if error is None or code:
        return code
    if error == errno.EPIPE:
        return _BROKEN_PIPE
    sys.stderr.write(f"distill: {lost_output()}; not everything was printed\n")
    return 2


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
