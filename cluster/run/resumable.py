"""Whether a run that is resumed still has the checkpoints that it had: it never goes back in silence."""

import logging
from collections.abc import Sequence

from cluster.models.lineage import Lineage
from cluster.state.folder import RunFolder
from cluster.state.progress import Acknowledged, Progress
from distill.errors import RunError
from distill.machine_errors import machine_error
from learner.checkpoints import newest_checkpoint, set_aside

log = logging.getLogger(__name__)


def require_checkpoints(folder: RunFolder, lineages: Sequence[Lineage], *, accept_loss: bool) -> None:
    """Check that every learner can go on from where it was; the run must be claimed.

    Args:
        folder: the run's.
        lineages: of the run.
        accept_loss: go on from whatever is there all the same, and take that for the truth from now on.

    Raises:
        RunError: if checkpoints that were written are gone or damaged, but for the newest one alone.
    """
    progress = Progress(folder)
    for lineage in lineages:
        directory = folder.checkpoints(lineage.name)
        try:
            found, damaged = newest_checkpoint(directory)
        except OSError as error:
            raise RunError(f"run {folder.name}: its checkpoints cannot be read: {machine_error(error)}") from error
        known = progress.of(lineage.name)
        if known is None and damaged and found is None:
            known = Acknowledged(1, 0)
        if known is None or found == known.newest or (found or 0) > known.newest:
            continue
        onward = "the beginning" if found is None else f"that of update {found:,}"
        updates = "none" if found is None else f"that of update {found:,}"
        lost = (
            f"{lineage.name}: expected the checkpoint of update {known.newest:,}, found {updates}"
            f" in {directory}{f', and {len(damaged)} damaged' if damaged else ''}"
        )
        if known.allows(found):
            log.warning("%s; it goes on from %s, as after a crash before the newest one", lost, onward)
        elif accept_loss:
            log.warning("%s; it goes on from %s, as it was told", lost, onward)
            set_aside(directory, damaged)
            progress.set(lineage.name, Acknowledged(found or 0, found or 0))
        else:
            raise RunError(f"run {folder.name}: {lost}; put the files back, or go on from {onward} with --accept-loss")
