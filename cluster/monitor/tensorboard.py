"""TensorBoard event files of a run, written on request from the same figures as `metrics.jsonl`."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from distill.errors import ConfigError

FOLDER = "tensorboard"
_LEFT_OUT = ("time", "updates")
"""Not worth a curve: the one is on every point, the other is the axis."""


class _Writer(Protocol):
    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Writes every number of a line of metrics as a scalar, over the learner's updates.

    A writer that the disk has refused something never writes again, so the next line begins a new event file.

    Args:
        folder: the run's; event files go to `tensorboard` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer: _Writer | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of one line of metrics, each under its path such as `loss/pong`.

        Raises:
            OSError: if the disk refuses; it may say so a line or two later.
        """
        try:
            if self._writer is None:
                self._writer = _open_writer(self._folder)
            for tag, value in scalars(row):
                self._writer.add_scalar(tag, value, int(row["updates"]))
            self._writer.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Bring everything to the disk that it takes."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()


def _open_writer(folder: Path) -> _Writer:
    from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 - an extra that few install

    return SummaryWriter(str(folder))


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
