"""Checkpoints: the learner's whole state in one safetensors file each, written atomically, with a manifest beside them.

Tensors hold weights, optimizer and random generators; everything else is JSON in the file's metadata. The manifest says
which files there are, which model version each one published, and that version's score once it is known.
"""

import json
import logging
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from distill.errors import RunError
from distill.files import remove_leftovers, write_atomically
from learner.gradient_updater import GradientUpdater

log = logging.getLogger(__name__)

FORMAT = "distill-checkpoint-1"
MANIFEST = "manifest.json"
_FILE = re.compile(r"checkpoint-\d+\.safetensors")


class _Tensors(Protocol):
    """An open file of safetensors, which gives it no types."""

    def metadata(self) -> dict[str, str] | None: ...

    def keys(self) -> list[str]: ...

    def get_tensor(self, name: str, /) -> torch.Tensor: ...


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


AnyUpdater = GradientUpdater[Any]


def updater_tensors(updater: AnyUpdater) -> dict[str, torch.Tensor]:
    """Return weights, optimizer state and random generators as named tensors on the CPU."""
    tensors = {
        f"{kind}.{name}": value
        for kind, network in updater.networks.items()
        for name, value in network.state_dict().items()
    }
    for index, slots in updater.optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors["random.sampler"] = updater.sampler.get_state()
    tensors["random.game_chooser"] = updater.game_chooser.get_state()
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}


def load_updater_tensors(updater: AnyUpdater, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restore what `updater_tensors` returned.

    Raises:
        RunError: if the tensors belong to another network or optimizer.
    """
    parameters = list(updater.network.parameters())
    slots: dict[int, dict[str, torch.Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".", 2)
                slots.setdefault(int(index), {})[slot] = _laid_out_as(parameters[int(index)], tensor)
        for kind, network in updater.networks.items():
            weights = _weights(tensors, kind)
            if kind == "average" and not weights:
                # The run was resumed with an average that it did not have before.
                weights = _weights(tensors, "network")
            network.load_state_dict(weights)
        state = updater.optimizer.state_dict()
        updater.optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
        updater.sampler.set_state(tensors["random.sampler"])
        updater.game_chooser.set_state(tensors["random.game_chooser"])
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise RunError(f"the checkpoint does not fit this run's network and optimizer: {error}") from error


def _weights(tensors: Mapping[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}


def _laid_out_as(parameter: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Return an optimizer slot in its parameter's memory format: fused optimizers walk both in memory order."""
    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, dtype=slot.dtype, device="cpu").copy_(slot)


class CheckpointStore:
    """A folder of checkpoints that keeps the newest ones and the best by score.

    Args:
        directory: the folder, made if absent.
        keep_last: newest checkpoints kept.
    """

    def __init__(self, directory: Path, keep_last: int) -> None:
        self._directory = directory
        self._keep_last = keep_last
        directory.mkdir(parents=True, exist_ok=True)
        remove_leftovers(directory)
        self.entries = self._read_manifest()

    def _read_manifest(self) -> list[CheckpointEntry]:
        path = self._directory / MANIFEST
        if not path.exists():
            return []
        try:
            rows = json.loads(path.read_text())["checkpoints"]
            entries = [CheckpointEntry(**row) for row in rows]
            # Files are removed by these names.
            if strange := [entry.file for entry in entries if not _FILE.fullmatch(entry.file)]:
                raise ValueError(f"{strange[0]!r}, which is no checkpoint's name")
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{path}: expected a list of checkpoints, found {error}; mend or remove it") from error
        return [entry for entry in entries if (self._directory / entry.file).exists()]

    def save(self, updates: int, tensors: Mapping[str, torch.Tensor], state: Any, version: int | None = None) -> Path:
        """Write a checkpoint and forget those that are no longer kept.

        Args:
            updates: updates made.
            tensors: from `updater_tensors`.
            state: everything else, as plain JSON values.
            version: model version published from these weights, if one was.

        Raises:
            RunError: if the disk refuses; the checkpoints before it are kept.
        """
        path = self._directory / f"checkpoint-{updates:010d}.safetensors"
        metadata = {"format": FORMAT, "state": json.dumps(state)}
        self._write(path, save(dict(tensors), metadata=metadata))
        known = next((entry for entry in self.entries if entry.file == path.name), None)
        if version is None and known is not None:
            version = known.version
        self.entries = [entry for entry in self.entries if entry.file != path.name]
        self.entries.append(CheckpointEntry(path.name, updates, version, known.score if known else None))
        self._commit()
        return path

    def record_score(self, version: int, score: float) -> None:
        """Note the score of the checkpoint that published `version`, if it is still kept."""
        self.entries = [
            CheckpointEntry(e.file, e.updates, e.version, score) if e.version == version else e for e in self.entries
        ]
        self._commit()

    def best(self) -> CheckpointEntry | None:
        """Return the checkpoint of the highest score, or None if no score is known."""
        scored = [entry for entry in self.entries if entry.score is not None]
        return max(scored, key=lambda entry: (entry.score or 0.0, entry.updates)) if scored else None

    def _commit(self) -> None:
        self.entries.sort(key=lambda entry: entry.updates)
        best = self.best()
        # A version whose score is still to come may turn out to be the best, so the newest of these stay too.
        pending = [e for e in self.entries if e.version is not None and e.score is None][-self._keep_last :]
        kept = [e for e in self.entries if e in self.entries[-self._keep_last :] or e == best or e in pending]
        dropped = [e for e in self.entries if e not in kept]
        self.entries = kept
        manifest = {"checkpoints": [asdict(entry) for entry in kept]}
        self._write(self._directory / MANIFEST, json.dumps(manifest, indent=2).encode())
        for entry in dropped:
            (self._directory / entry.file).unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise RunError(f"checkpoint {path}: cannot be written: {error.strerror}") from error

    def load_latest(self) -> tuple[dict[str, torch.Tensor], Any] | None:
        """Return tensors and state of the newest readable checkpoint, or None if there is none.

        Raises:
            RunError: if there are checkpoints and none of them is readable.
        """
        for entry in reversed(self.entries):
            path = self._directory / entry.file
            try:
                with cast(AbstractContextManager[_Tensors], safe_open(os.fspath(path), framework="pt")) as file:
                    metadata = file.metadata() or {}
                    if metadata.get("format") != FORMAT:
                        raise ValueError(f"format {metadata.get('format')!r}, expected {FORMAT!r}")
                    return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["state"])  # noqa: SIM118
            except (SafetensorError, OSError, ValueError, KeyError) as error:
                log.warning("checkpoint %s is not readable (%s); trying the one before", path, error)
        if self.entries:
            raise RunError(f"{self._directory}: none of its {len(self.entries)} checkpoints is readable")
        return None
