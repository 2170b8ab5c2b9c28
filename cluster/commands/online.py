"""`distill online`: train Q-learners, and distil all the while from the best network so far."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.commands.run_options import start_or_resume
from distill.teach_config import OnlineConfig


class OnlineOptions(OnlineConfig):
    """Train a Q-learner for each game, and one student that distils all the while from the best of each so far."""

    config: Path | None = None
    """YAML file with any of these options by name; flags win over it."""
    resume: Path | None = None
    """Folder of a run to go on with; its configuration is taken from there, and flags win over it."""
    accept_loss: bool = False
    """With --resume: go on though checkpoints that were written are gone or damaged, from the newest that is left."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Start or resume a run."""
    start_or_resume(OnlineConfig, OnlineOptions, arguments, console)
