"""`distill teach`: train a DQN teacher."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.commands.run_options import start_or_resume
from distill.teach_config import TeachConfig


class TeachOptions(TeachConfig):
    """Train a DQN teacher of one game, or one multi-game Q-network of several."""

    config: Path | None = None
    """YAML file with any of these options by name; flags win over it."""
    resume: Path | None = None
    """Folder of a run to go on with; its configuration is taken from there, and flags win over it."""
    accept_loss: bool = False
    """With --resume: go on though checkpoints that were written are gone or damaged, from the newest that is left."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Start or resume a run."""
    start_or_resume(TeachConfig, TeachOptions, arguments, console)
