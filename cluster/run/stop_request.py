"""Turns ctrl-C and SIGTERM into a request to stop: the first one saves and stops, the second one stops now."""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest:
    """Catches the two signals while it is entered, in the main thread.

    Args:
        saved: what is saved when the first one comes, for the message.

    Attributes:
        requested: whether a signal has come.
    """

    def __init__(self, saved: str = "a checkpoint") -> None:
        self.requested = False
        self._saved = saved
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested:
            sys.stderr.write("stopping now; what was not saved is lost\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self.requested = True
        sys.stderr.write(f"stopping: saving {self._saved}; once more to stop now\n")
        sys.stderr.flush()
