"""`distill run`: distil teachers into one student."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.commands.run_options import start_or_resume
from distill.config import RunConfig


class RunOptions(RunConfig):
    """Distil trained teachers into one student."""

    config: Path | None = None
    """YAML file with any of these options by name; flags win over it."""
    resume: Path | None = None
    """Folder of a run to go on with; its configuration is taken from there, and flags win over it."""
    accept_loss: bool = False
    """With --resume: go on though checkpoints that were written are gone or damaged, from the newest that is left."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Start or resume a run."""
    start_or_resume(RunConfig, RunOptions, arguments, console)
