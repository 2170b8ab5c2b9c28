"""TensorBoard event files of a run, written on request from the same figures as `metrics.jsonl`."""

import contextlib
import importlib
import importlib.util
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from distill.errors import ConfigError

FOLDER = "tensorboard"
_LEFT_OUT = ("time", "updates")
"""Not worth a curve: the one is on every point, the other is the axis."""


class _Records(Protocol):
    """A `RecordWriter`, which has no types."""

    def write(self, data: bytes, /) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Writes every number of a line of metrics as a scalar, over the learner's updates.

    A file in which the disk has refused a line is not gone on with: the next line begins another one, and TensorBoard
    reads them all. (PyTorch's writer does its work in a thread, which dies of the first refusal with a traceback.)

    Args:
        folder: the run's; event files go to `tensorboard` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._records: _Records | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of one line of metrics, each under its path such as `loss/pong`.

        Raises:
            OSError: if the disk refuses.
        """
        try:
            if self._records is None:
                self._records = _new_file(self._folder)
                self._records.write(_event(file_version="brain.Event:2"))
            values = [{"tag": tag, "simple_value": value} for tag, value in scalars(row)]
            self._records.write(_event(step=int(row["updates"]), summary={"value": values}))
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


def require_tensorboard() -> None:
    """Check that the package is installed.

    Raises:
        ConfigError: if it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard: expected the package of that name, found none; pip install 'policy-distillery[tensorboard]'"
        )


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in a nested mapping with its path; truth values and texts are left out."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(cast(Mapping[str, Any], value), f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and f"{prefix}{key}" not in _LEFT_OUT:
            yield f"{prefix}{key}", float(value)
