"""TensorBoard event files in a run's folder."""

import contextlib
import importlib
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from cluster.monitor.trackers.tracker import Tracked

FOLDER = "tensorboard"


class _Records(Protocol):
    """A `RecordWriter`, which has no types."""

    def write(self, data: bytes, /) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Writes figures as scalars; see `Tracker`.

    A file in which the disk has refused an event is not gone on with: the next one begins another file, and TensorBoard
    reads them all. (PyTorch's writer does its work in a thread, which dies of the first refusal with a traceback.)

    Args:
        run: event files go to `tensorboard` in its folder.
    """

    def __init__(self, run: Tracked) -> None:
        self._folder = run.folder / FOLDER
        self._records: _Records | None = None

    def write(self, updates: int, values: Mapping[str, float]) -> None:
        """Write one event; raises OSError if the disk refuses."""
        try:
            if self._records is None:
                self._records = _new_file(self._folder)
                self._records.write(_event(file_version="brain.Event:2"))
            scalars = [{"tag": tag, "simple_value": value} for tag, value in values.items()]
            self._records.write(_event(step=updates, summary={"value": scalars}))
            self._records.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the file; what the disk does not take is left out."""
        records, self._records = self._records, None
        if records is not None:
            with contextlib.suppress(OSError):
                records.close()


def _new_file(folder: Path) -> _Records:
    # An extra that few install, and without types.
    writer = importlib.import_module("tensorboard.summary.writer.record_writer").RecordWriter
    folder.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
    return cast(_Records, writer((folder / name).open("xb")))


def _event(**fields: Any) -> bytes:
    event = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
    return event(wall_time=time.time(), **fields).SerializeToString()
