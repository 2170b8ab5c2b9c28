"""Becomes another program, which Linux ends by SIGTERM when its parent ends.

Use: `die_with_parent.py PARENT_PID PROGRAM ARGUMENT...`. It is a program of its own because code between fork and exec
is not safe in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, then replace this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A parent that ended before the call above sends no signal any more.
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
