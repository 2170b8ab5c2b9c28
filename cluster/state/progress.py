"""How far the checkpoints of a run have come, beside them: who finds less has lost something, and is told."""

import json
from dataclasses import asdict, dataclass
from typing import Any, cast

from cluster.models.mirror import ModelMirror
from cluster.state.folder import RunFolder
from distill.errors import RunError

FILE = "progress.json"


@dataclass(frozen=True)
class Acknowledged:
    """The two newest checkpoints that a learner has said to have written.

    To lose the newest one alone is what a crash just before it would have cost, and no more.

    Attributes:
        newest: its updates.
        before: updates of the one before it, 0 without one.
    """

    newest: int
    before: int

    def allows(self, found: int | None) -> bool:
        """Return whether training may go on from a checkpoint, or from none, without a word from the user."""
        return self.newest == 0 or (found is not None and found >= max(self.before, 1))


class Progress:
    """Keeps `progress.json` of a run's folder; what cannot be read of it counts as not there.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lineages = _read(folder)

    def of(self, lineage: str) -> Acknowledged | None:
        """Return what is known of a lineage's checkpoints: from the file, or from the models that were published."""
        return self._lineages.get(lineage) or _published(self._folder, lineage)

    def acknowledge(self, lineage: str, updates: int) -> None:
        """Take note of the newest checkpoint that a learner has, which may have begun anew from one.

        Raises:
            RunError: if it has fewer updates than it may have, or the file cannot be written.
        """
        known = self._lineages.get(lineage, Acknowledged(0, 0))
        if updates == known.newest:
            return
        if not known.allows(updates):
            raise RunError(
                f"learner of {lineage}: expected it to go on from the checkpoint of update {known.newest:,}, or the one"
                f" before it, found {updates:,}: its checkpoints were damaged or removed meanwhile"
            )
        if updates > known.newest:
            self.set(lineage, Acknowledged(updates, known.newest))
        else:
            self.set(lineage, Acknowledged(updates, min(updates, known.before)))

    def set(self, lineage: str, acknowledged: Acknowledged) -> None:
        """Write down what is known of a lineage. Raises RunError if the disk refuses."""
        lineages = self._lineages | {lineage: acknowledged}
        self._folder.write_json(FILE, {name: asdict(known) for name, known in lineages.items()})
        self._lineages = lineages


def _read(folder: RunFolder) -> dict[str, Acknowledged]:
    try:
        document: Any = json.loads((folder.path / FILE).read_bytes())
        return {
            str(lineage): Acknowledged(int(known["newest"]), int(known["before"]))
            for lineage, known in cast(dict[str, dict[str, Any]], document).items()
        }
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
        return {}


def _published(folder: RunFolder, lineage: str) -> Acknowledged | None:
    """Return what the models say, each of which was published beside a checkpoint; None if there are none."""
    updates: list[int] = []
    mirror = ModelMirror(folder.path, lineage)
    for version in mirror.versions():
        try:
            updates.append(int(mirror.metadata(version)["updates"]))
        except (LookupError, RunError, TypeError, ValueError):
            continue
    # The newest one may have been published in the moment before a crash.
    return Acknowledged(updates[-1], updates[-2] if len(updates) > 1 else 0) if updates else None
