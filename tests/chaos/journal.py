"""What a part of the system saw, one JSON line an event, written by the part itself and not by the product's counters.

A line is one write to a file that is open for appending. Once it has returned, the kernel has it: SIGKILL of the writer
takes nothing back, and no fsync is needed for that. Times are of the monotonic clock, which all processes share.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Journal:
    """Appends events to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, event: str, **details: Any) -> None:
        """Write one event."""
        line = json.dumps({"at": time.monotonic(), "event": event, **details})
        os.write(self._file, line.encode() + b"\n")


class JournalReader:
    """Reads a journal while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._events: list[Event] = []

    @property
    def name(self) -> str:
        """The journal's name, which is its part's."""
        return self._path.stem

    def events(self) -> list[Event]:
        """Return all whole lines so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._position)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._position += len(whole) + 1
                self._events += map(json.loads, whole.split(b"\n"))
        return self._events
