"""What is left of a run that ends early: nothing if its training had not begun, else what was saved, which is said."""

import contextlib
import logging
from collections.abc import Generator, Sequence
from pathlib import Path

from cluster.output.shell import command_line
from cluster.state.folder import RunFolder, new_run
from cluster.state.given import GivenModels
from cluster.state.removal import Removal
from distill.config import Settings
from distill.errors import DistillError, ReplacedError, RunError
from distill.machine_errors import machine_error

log = logging.getLogger(__name__)


@contextlib.contextmanager
def begun(config: Settings, games: Sequence[str], given: GivenModels) -> Generator[RunFolder]:
    """Make the folder of a new run, and remove it again if the run ends before its training has begun.

    Raises:
        RunError: if a run of that name exists, or the folder cannot be made.
    """
    root = config.general.root.absolute()
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    folder = new_run(config, list(games), given.record())
    try:
        yield folder
    finally:
        if not folder.has_begun():
            _remove(folder, made)


def _remove(folder: RunFolder, made: Sequence[Path]) -> None:
    """Remove a run that never began, and the folders that were made for it."""
    try:
        with folder.claim():
            removal = Removal.of(folder)
            removal.begin()
            gone = removal.finish()
    except RunError as error:
        log.warning("run %s: its start has failed, and its folder stays: %s", folder.name, error)
        return
    for parent in made if gone else ():
        with contextlib.suppress(OSError):
            parent.rmdir()


@contextlib.contextmanager
def told_what_is_kept(folder: RunFolder, command: str, *, new: bool) -> Generator[None]:
    """Add to the error that ends a sitting what is kept of the run, and how to go on.

    Args:
        folder: the run's.
        command: of the run.
        new: whether this is its first sitting; of one that has not begun nothing is kept, which needs no word.

    Raises:
        RunError: instead of what the disk or a part of the run has raised.
    """
    try:
        yield
    except ReplacedError:
        # The run goes on elsewhere.
        raise
    except (DistillError, OSError) as error:
        known = str(error) if isinstance(error, DistillError) else machine_error(error)
        if new and not folder.has_begun():
            if isinstance(error, DistillError):
                raise
            raise RunError(f"run {folder.name}: {known}") from error
        raise RunError(f"{known.rstrip('.')}; {kept(folder, command)}") from error
    except Exception as error:
        if not new or folder.has_begun():
            error.add_note(kept(folder, command))
        raise


def kept(folder: RunFolder, command: str) -> str:
    """Return a sentence about what a run that ends early has saved, and how to go on with it."""
    updates = folder.checkpointed()
    saved = "no checkpoint is written yet" if updates is None else f"kept is the checkpoint of update {updates:,}"
    return f"{saved}; go on with: {command_line('distill', command, '--resume', folder.path)}"
