"""The folder of an experiment: scores and what is made of them, which are kept; runs and logs, which may go."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distill.errors import RunError

RECORDINGS = "recordings"
"""Folder beside those of the experiments, which share what is in it."""


@dataclass(frozen=True)
class ExperimentFolder:
    """Paths of an experiment.

    Attributes:
        path: the folder, called as the experiment.
    """

    path: Path

    @property
    def scores(self) -> Path:
        """Raw scores of every episode, a line for each player and game of a cell; everything else is made from it."""
        return self.path / "scores.jsonl"

    @property
    def measured(self) -> Path:
        """What was measured beside the scores, by an experiment that does so."""
        return self.path / "measured.json"

    @property
    def table(self) -> Path:
        """The tables, as Markdown."""
        return self.path / "table.md"

    @property
    def picture(self) -> Path:
        """The plot."""
        return self.path / "plot.png"

    @property
    def page(self) -> Path:
        """The page of the report."""
        return self.path / "report.html"

    @property
    def runs(self) -> Path:
        """Runs of the cells."""
        return self.path / "runs"

    @property
    def logs(self) -> Path:
        """What the cells' commands have printed."""
        return self.path / "logs"

    @property
    def recordings(self) -> Path:
        """What the cells of this and of other experiments learn from."""
        return self.path.parent / RECORDINGS

    def make(self) -> None:
        """Make the folders that are missing. Raises RunError if that fails."""
        try:
            for folder in (self.runs, self.logs, self.recordings):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"experiment {self.path}: its folders cannot be made: {error}; check --out") from error

    @contextmanager
    def claim(self) -> Generator[None]:
        """Hold the experiment, whose cells must not be begun twice; a process that dies lets go of it.

        Raises:
            RunError: if another process holds it, or the disk refuses.
        """
        try:
            lock = (self.logs / "experiment.lock").open("ab")
        except OSError as error:
            raise RunError(f"experiment {self.path}: {error.filename} cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"experiment {self.path}: another process is at work on it; stop that one first, or give --out"
                ) from error
            yield
