"""Which checkpoints there are, what each published and how that was scored: the manifest, and where it comes back from.

The manifest is an index alone. Every checkpoint has a copy of it as it was when that checkpoint was written, so of a
manifest that is damaged or gone nothing is lost but the scores that came after the newest checkpoint.
"""

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from learner.checkpoint_file import read_metadata

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
INDEX = "index"
"""Of a checkpoint's metadata."""
DAMAGED = ".damaged"
"""Added to the name of a checkpoint that is set aside."""
_FILE = re.compile(r"checkpoint-(\d+)\.safetensors")


@dataclass(frozen=True)
class CheckpointEntry:
    """One row of the manifest.

    Attributes:
        file: file name inside the checkpoint folder.
        updates: updates that the network had made.
        version: model version published from the same weights, or None.
        score: that version's score, higher is better, or None while unknown.
    """

    file: str
    updates: int
    version: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class CheckpointIndex:
    """The manifest.

    Attributes:
        incarnation: of whoever wrote it; a greater one is newer.
        entries: of the checkpoints, oldest first.
    """

    incarnation: int
    entries: tuple[CheckpointEntry, ...]

    def to_json(self) -> str:
        """Return it as it is written."""
        document = {"incarnation": self.incarnation, "checkpoints": [asdict(entry) for entry in self.entries]}
        return json.dumps(document, indent=2)


def file_of(updates: int) -> str:
    """Return the name of the checkpoint of an update."""
    return f"checkpoint-{updates:010d}.safetensors"


def checkpoint_files(directory: Path) -> dict[str, int]:
    """Return the names of a folder's checkpoints with their updates, oldest first. Raises OSError."""
    found = {
        path.name: int(match[1])
        for path in directory.iterdir()
        if (match := _FILE.fullmatch(path.name)) and path.is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def read_index(directory: Path) -> CheckpointIndex:
    """Return what a folder of checkpoints holds: what its manifest says, corrected by the files themselves.

    Raises:
        OSError: if folder or manifest cannot be read.
    """
    files, path = checkpoint_files(directory), directory / MANIFEST
    index = CheckpointIndex(0, ())
    try:
        index = parse_index(path.read_bytes())
    except FileNotFoundError:
        if files:
            log.warning("%s is gone; it is written again from the %d checkpoints beside it", path, len(files))
    except ValueError as error:
        log.warning(
            "%s: expected a list of checkpoints, found %s; it is written again from the %d checkpoints beside it",
            path, error, len(files),
        )  # fmt: skip
    known = {entry.file: entry for entry in index.entries}
    if gone := [file for file in known if file not in files and not (directory / f"{file}{DAMAGED}").exists()]:
        log.warning("%s: %s in its manifest and no longer there: %s", directory, _are(gone), ", ".join(gone))
    incarnation = index.incarnation
    if files.keys() - known.keys():
        copies = _copies(directory, files)
        incarnation = max([incarnation, *(copy.incarnation for copy in copies)])
        for entry in (entry for copy in copies for entry in copy.entries):
            before = known.get(entry.file)
            # What was known of a score may not be known any more to who had to begin without it.
            if before is None or before.score is None:
                known[entry.file] = entry
    return CheckpointIndex(
        incarnation, tuple(known.get(file, CheckpointEntry(file, updates)) for file, updates in files.items())
    )


def parse_index(text: str | bytes) -> CheckpointIndex:
    """Return the manifest that was written. Raises ValueError if it is damaged."""
    try:
        document: dict[str, Any] = json.loads(text)
        entries = [_parse_entry(row) for row in document["checkpoints"]]
        return CheckpointIndex(int(document["incarnation"]), tuple(entries))
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parse_entry(row: Any) -> CheckpointEntry:
    entry = CheckpointEntry(**row)
    # Files are removed by these names.
    if not (match := _FILE.fullmatch(entry.file)) or int(match[1]) != entry.updates:
        raise ValueError(f"{entry.file!r} of update {entry.updates!r}, which is no checkpoint's name")
    if not isinstance(cast(object, entry.version), int | None):
        raise ValueError(f"version {entry.version!r}")
    if entry.score is not None and not math.isfinite(entry.score):
        raise ValueError(f"score {entry.score!r}")
    return entry


def _copies(directory: Path, files: Sequence[str] | dict[str, int]) -> list[CheckpointIndex]:
    """Return the copies of the manifest in the checkpoints that are not damaged, the oldest first."""
    copies: list[CheckpointIndex] = []
    for file in files:
        try:
            copies.append(parse_index(read_metadata(directory / file)[INDEX]))
        except (OSError, ValueError, KeyError) as error:
            # Who loads the newest one tells of damage; here it only leaves a gap.
            log.info("%s: says nothing for the manifest: %s", directory / file, error)
    return copies


def _are(files: Sequence[str]) -> str:
    return "1 checkpoint is" if len(files) == 1 else f"{len(files)} checkpoints are"
