"""The folder of a scaling experiment: the measured points, and what is made of them."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distill.errors import RunError

POINTS = "points.jsonl"


@dataclass(frozen=True)
class ScaleFolder:
    """Paths of an experiment.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def points(self) -> Path:
        """What every cell has measured, a line each; everything else is made from it."""
        return self.path / POINTS

    @property
    def rows(self) -> Path:
        """The same for spreadsheets."""
        return self.path / "points.csv"

    @property
    def summary(self) -> Path:
        """Means, intervals, laws and what holds the system up, as JSON."""
        return self.path / "scale.json"

    @property
    def picture(self) -> Path:
        """The plot."""
        return self.path / "plot.png"

    @contextmanager
    def claim(self) -> Generator[None]:
        """Make the folder, and hold it, so that no cell is measured twice; a process that dies lets go of it.

        Raises:
            RunError: if another process holds it, or the disk refuses.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("ab")
        except OSError as error:
            raise RunError(
                f"out: {self.path} cannot be made or written: {error.strerror}; choose another folder"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"out: {self.path}: another process measures into it; stop that one, or give --out"
                ) from error
            yield
