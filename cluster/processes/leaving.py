"""Ends this process: as Python does, or at once where the end that a library has prepared would hang or crash."""

import os
import sys
from typing import NoReturn

_at_once = False


def leave_at_once() -> None:
    """Let `leave` end this process without what libraries have registered for its end."""
    global _at_once  # noqa: PLW0603 - a process has one end
    _at_once = True


def leave(code: int) -> NoReturn:
    """End this process with an exit code."""
    if _at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
