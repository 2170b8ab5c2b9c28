"""The folder of a learner's checkpoints: one learner at a time writes it, the newest and the best by score are kept."""

import fcntl
import json
import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distill.errors import ReplacedError, RunError
from distill.files import remove_leftovers, write_atomically
from distill.machine_errors import refusal
from learner.checkpoint_file import encode_checkpoint, read_metadata, read_tensors
from learner.checkpoint_index import (
    DAMAGED,
    INDEX,
    MANIFEST,
    CheckpointEntry,
    CheckpointIndex,
    checkpoint_files,
    file_of,
    read_index,
)

log = logging.getLogger(__name__)

LOCK = ".lock"
LOCK_SECONDS = 60.0
"""A learner holds the lock while it writes one checkpoint, and lets go of it when it dies."""
_POLL_SECONDS = 0.02


class CheckpointStore:
    """A folder of checkpoints that keeps the newest ones and the best by score.

    The newest incarnation owns the folder: an older one, which may live on beside it on a machine that was cut off,
    finds that out before it writes anything.

    Args:
        directory: the folder, made if absent.
        keep_last: newest checkpoints kept.
        incarnation: number of the learner; its replacement has a greater one.

    Raises:
        ReplacedError: if a newer learner has written there.
        RunError: if the folder cannot be used.
    """

    def __init__(self, directory: Path, keep_last: int, incarnation: int = 0) -> None:
        self._directory = directory
        self._keep_last = keep_last
        self._incarnation = incarnation
        self.entries: list[CheckpointEntry] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with self._owned() as index:
                remove_leftovers(directory)
                self.entries = list(index.entries)
                # From now on an older learner finds itself replaced.
                self._write_manifest()
        except OSError as error:
            raise RunError(f"checkpoints in {directory}: {refusal(error)}") from error

    def save(self, updates: int, tensors: Mapping[str, torch.Tensor], state: Any, version: int | None = None) -> Path:
        """Write a checkpoint and forget those that are no longer kept.

        Args:
            updates: updates made.
            tensors: from `updater_tensors`.
            state: everything else, as plain JSON values.
            version: model version published from these weights, if one was.

        Raises:
            OSError: if the disk refuses; the checkpoints before it are kept.
            ReplacedError: if a newer learner has written there; then nothing is written.
        """
        path = self._directory / file_of(updates)
        with self._owned():
            known = next((e for e in self.entries if e.file == path.name), CheckpointEntry(path.name, updates))
            entry = known if version is None else replace(known, version=version)
            entries = sorted([*(e for e in self.entries if e != known), entry], key=lambda entry: entry.updates)
            index = CheckpointIndex(self._incarnation, tuple(self._kept(entries)))
            metadata = {"state": json.dumps(state), INDEX: index.to_json()}
            write_atomically(path, encode_checkpoint(tensors, metadata))
            self.entries = entries
            self._commit()
        return path

    def record_score(self, version: int, score: float) -> None:
        """Note the score of the checkpoint that published `version`, if it is still kept; raises what `save` does."""
        with self._owned():
            self.entries = [replace(e, score=score) if e.version == version else e for e in self.entries]
            self._commit()

    def best(self) -> CheckpointEntry | None:
        """Return the checkpoint of the highest score, or None if no score is known."""
        return _best(self.entries)

    def load_latest(self) -> tuple[dict[str, torch.Tensor], Any] | None:
        """Return tensors and state of the newest readable checkpoint, or None if there is none.

        Raises:
            RunError: if there are checkpoints and none of them is readable.
        """
        damaged: list[str] = []
        for entry in reversed(self.entries):
            try:
                tensors, metadata = read_tensors(self._directory / entry.file)
            except (OSError, ValueError) as error:
                if _tell_unreadable(self._directory / entry.file, error):
                    damaged.append(entry.file)
                continue
            # Their updates come again, and until then they must not take the places of sound ones.
            set_aside(self._directory, damaged)
            self.entries = [entry for entry in self.entries if entry.file not in damaged]
            return tensors, json.loads(metadata["state"])
        if self.entries:
            raise RunError(
                f"{self._directory}: none of its {len(self.entries)} checkpoints is readable; put sound ones there, or"
                " resume with --accept-loss to begin without them"
            )
        return None

    def _commit(self) -> None:
        """Write the manifest, then remove what is no longer in it."""
        every, self.entries = self.entries, self._kept(self.entries)
        try:
            self._write_manifest()
        except OSError:
            self.entries = every
            raise
        for entry in every:
            if entry not in self.entries:
                (self._directory / entry.file).unlink(missing_ok=True)

    def _kept(self, entries: list[CheckpointEntry]) -> list[CheckpointEntry]:
        # A version whose score is still to come may turn out to be the best, so the newest of these stay too.
        pending = [e for e in entries if e.version is not None and e.score is None][-self._keep_last :]
        best = _best(entries)
        return [e for e in entries if e in entries[-self._keep_last :] or e == best or e in pending]

    def _write_manifest(self) -> None:
        index = CheckpointIndex(self._incarnation, tuple(self.entries))
        write_atomically(self._directory / MANIFEST, index.to_json().encode())

    @contextmanager
    def _owned(self) -> Generator[CheckpointIndex]:
        """Keep others from writing, and yield what the folder holds. Raises ReplacedError if a newer learner has it."""
        with (self._directory / LOCK).open("ab") as lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise RunError(
                            f"checkpoints in {self._directory}: another process has held {LOCK} for"
                            f" {LOCK_SECONDS:.0f} s; end it first"
                        ) from error
                    time.sleep(_POLL_SECONDS)
            index = read_index(self._directory)
            if index.incarnation > self._incarnation:
                raise ReplacedError(
                    f"checkpoints in {self._directory}: expected no newer learner than this one, of incarnation"
                    f" {self._incarnation}, found one of {index.incarnation}; nothing of this one counts any more"
                )
            present = {entry.file for entry in index.entries}
            self.entries = [entry for entry in self.entries if entry.file in present]
            yield index


def newest_checkpoint(directory: Path) -> tuple[int | None, list[str]]:
    """Return the updates of a folder's newest readable checkpoint, and the damaged ones that are newer.

    Nothing is written. There may be no such folder.

    Raises:
        OSError: if the folder cannot be read.
    """
    damaged: list[str] = []
    try:
        files = checkpoint_files(directory)
    except FileNotFoundError:
        return None, damaged
    for file, updates in reversed(files.items()):
        try:
            read_metadata(directory / file)
        except (OSError, ValueError) as error:
            if _tell_unreadable(directory / file, error):
                damaged.append(file)
        else:
            return updates, damaged
    return None, damaged


def set_aside(directory: Path, files: list[str]) -> None:
    """Take damaged checkpoints for no checkpoints any more: they get other names, which nobody reads or removes."""
    for file in files:
        try:
            (directory / file).rename(directory / f"{file}{DAMAGED}")
        except OSError as error:
            log.warning("%s: cannot be renamed: %s", directory / file, refusal(error))


def _tell_unreadable(path: Path, error: OSError | ValueError) -> bool:
    """Log why a checkpoint is passed over; return whether it is damaged, and not only out of reach."""
    out_of_reach = isinstance(error, OSError)
    trouble = f"cannot be read: {refusal(error)}" if out_of_reach else f"is damaged: {error}"
    log.warning("checkpoint %s %s; the one before it is tried", path, trouble)
    return not out_of_reach


def _best(entries: list[CheckpointEntry]) -> CheckpointEntry | None:
    scored = [entry for entry in entries if entry.score is not None]
    return max(scored, key=lambda entry: (entry.score or 0.0, entry.updates)) if scored else None
