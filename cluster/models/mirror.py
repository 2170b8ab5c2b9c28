"""The copy of a run's models in its folder: readable without a Redis, and what an empty Redis is restored from.

It never forgets on Redis' word alone: Redis may be empty, or have come back with older data.
"""

import fcntl
import json
import re
import time
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.models.decisions import Decisions
from distill.errors import RunError
from distill.files import write_atomically
from distill.machine_errors import refusal

_STEP_NANOSECONDS = 100_000_000
_LEDGER = "ledger.json"
_METADATA = re.compile(r"^(\d+)\.json$")
_WEIGHTS = re.compile(r"^(\d+)\.safetensors$")
_ASIDE = re.compile(r"^(\d+)\.aside\.safetensors$")


def mirrored_lineages(directory: Path) -> list[str]:
    """Return the lineages of models that a run's folder has a copy of."""
    return sorted(path.name for path in (directory / "models").glob("*/"))


class ModelMirror:
    """Files in `<directory>/models/<lineage>`: a version's weights and metadata, all names, and what was decided.

    They are `<version>.safetensors`, `<version>.json`, `names.json` and `ledger.json`. The weights of a version that
    was set aside are also in `<version>.aside.safetensors`, which stays when the registry drops its own.

    Every file is written under another name, brought to the disk and renamed. A version is there once its metadata is.
    """

    def __init__(self, directory: Path, lineage: str) -> None:
        self._directory = directory / "models" / lineage
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self._directory}: cannot be made: {refusal(error)}") from error
        self._decisions, self._file = Decisions(), (0, 0, 0)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes from changing this mirror. Raises RunError if this user may not."""
        try:
            lock = (self._directory / ".lock").open("ab")
        except OSError as error:
            raise RunError(f"{self._directory}: may not be written to: {refusal(error)}") from error
        with lock as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def versions(self) -> list[int]:
        """Return all versions, oldest first, also those whose bytes were dropped."""
        return self._numbers(_METADATA)

    def metadata(self, version: int) -> dict[str, Any]:
        """Return a version's metadata. Raises RunError if it is damaged."""
        return self._read_json(f"{version}.json")

    def data(self, version: int) -> bytes | None:
        """Return a version's bytes, set aside or not, or None if they were dropped."""
        for path in (self._weights(version), self._aside(version)):
            # Looking first and reading then would fail where another process drops the file in between.
            with suppress(FileNotFoundError):
                return path.read_bytes()
        return None

    def require_data(self, version: int) -> bytes:
        """Return a version's bytes. Raises RunError if they were dropped or removed."""
        data = self.data(version)
        if data is None:
            kept = ", ".join(str(other) for other in self.versions() if self.has(other)) or "none"
            raise RunError(
                f"{self._weights(version)}: expected the weights of version {version}, found none; put a copy there, or"
                f" roll back to another version with `distill models`; there are those of {kept}"
            )
        return data

    def has(self, version: int) -> bool:
        """Return whether a version's bytes are there, set aside or not."""
        return self._weights(version).exists() or self._aside(version).exists()

    def held(self) -> list[int]:
        """Return the versions whose bytes are there and not only set aside, oldest first."""
        return self._numbers(_WEIGHTS)

    def state(self) -> int | None:
        """Return a number that is another one after every change; None if the last one is too young for that.

        File systems tell times in steps of a few milliseconds, and a second change within one would not be seen.
        """
        changed = self._directory.stat().st_mtime_ns
        return None if 0 <= time.time_ns() - changed < _STEP_NANOSECONDS else changed

    def names(self) -> dict[str, int]:
        """Return which version each name points at. Raises RunError if the file is damaged."""
        return self._read_json("names.json") if (self._directory / "names.json").exists() else {}

    def store(self, version: int, data: bytes, metadata: str) -> None:
        """Write a version, its metadata as JSON last."""
        self.store_data(version, data)
        self.store_metadata(version, metadata)

    def store_data(self, version: int, data: bytes) -> None:
        """Write a version's bytes."""
        self._write(self._weights(version).name, data)

    def store_metadata(self, version: int, metadata: str) -> None:
        """Write a version's metadata, as JSON."""
        self._write(f"{version}.json", metadata.encode())

    def set_aside(self, version: int) -> None:
        """Copy a version's bytes to where `keep_only` does not drop them; nothing is done if they were dropped."""
        data = self.data(version)
        if data is not None:
            self._write(self._aside(version).name, data)

    def aside(self) -> list[int]:
        """Return the versions that were set aside, oldest first."""
        return self._numbers(_ASIDE)

    def drop_aside(self, version: int) -> None:
        """Drop what `set_aside` copied."""
        self._aside(version).unlink(missing_ok=True)

    def store_names(self, names: Mapping[str, int]) -> None:
        """Write which version each name points at."""
        self._write("names.json", json.dumps(names, indent=1, sort_keys=True).encode())

    def decisions(self) -> Decisions:
        """Return what `store_decisions` wrote, none before. Raises RunError if it is damaged."""
        try:
            file = self._ledger_file()
        except FileNotFoundError:
            return Decisions()
        # It is asked for every second and changes with every episode block at most; a written file is a new one.
        if file != self._file:
            self._decisions, self._file = self._read_decisions(), file
        return self._decisions

    def _ledger_file(self) -> tuple[int, int, int]:
        status = (self._directory / _LEDGER).stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read_decisions(self) -> Decisions:
        try:
            return Decisions.from_json(self._read_json(_LEDGER))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{self._directory / _LEDGER}: expected promotions, verdicts and scores, found {error!r}; mend it"
            ) from error

    def store_decisions(self, decisions: Decisions) -> None:
        """Write scores, verdicts and promotions."""
        # Without indentation, which Python writes itself: after a week of a version a minute these are 80,000 rows.
        self._write(_LEDGER, json.dumps(decisions.to_json(), sort_keys=True).encode())
        self._decisions, self._file = decisions, self._ledger_file()

    def keep_only(self, versions: Collection[int]) -> None:
        """Drop the bytes of all other versions, unless they were set aside; their metadata stays."""
        for version in self.held():
            if version not in versions:
                self._weights(version).unlink(missing_ok=True)

    def _numbers(self, pattern: re.Pattern[str]) -> list[int]:
        matches = (pattern.match(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _weights(self, version: int) -> Path:
        return self._directory / f"{version}.safetensors"

    def _aside(self, version: int) -> Path:
        return self._directory / f"{version}.aside.safetensors"

    def _read_json(self, name: str) -> Any:
        path = self._directory / name
        try:
            return json.loads(path.read_bytes())
        except (OSError, RecursionError, ValueError) as error:
            raise RunError(
                f"{path}: expected JSON, found {error}; mend it, or move {self._directory} away to start without models"
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_atomically(self._directory / name, data)
        except OSError as error:
            raise RunError(f"{self._directory / name}: cannot be written: {refusal(error)}") from error
