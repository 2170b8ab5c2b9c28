"""The copy of a run's models in its directory: readable without a Redis, and what an empty Redis is restored from."""

import fcntl
import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.files import write_atomically

_METADATA = re.compile(r"^(\d+)\.json$")


class ModelMirror:
    """Files `<version>.safetensors`, `<version>.json` (its metadata) and `names.json` in `<directory>/models`.

    Every file is written under another name, brought to the disk and renamed. A version is there once its metadata is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "models"
        self._directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes from changing this mirror."""
        with (self._directory / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def versions(self) -> list[int]:
        """Return all versions, oldest first, also those whose bytes were dropped."""
        matches = (_METADATA.match(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def metadata(self, version: int) -> dict[str, Any]:
        """Return a version's metadata. Raises RunError if it is damaged."""
        return self._read_json(f"{version}.json")

    def data(self, version: int) -> bytes | None:
        """Return a version's bytes, or None if they were dropped."""
        path = self._directory / f"{version}.safetensors"
        return path.read_bytes() if path.exists() else None

    def names(self) -> dict[str, int]:
        """Return which version each name points at. Raises RunError if the file is damaged."""
        return self._read_json("names.json") if (self._directory / "names.json").exists() else {}

    def store(self, version: int, data: bytes, metadata: str) -> None:
        """Write a version, its metadata as JSON last."""
        self._write(f"{version}.safetensors", data)
        self._write(f"{version}.json", metadata.encode())

    def store_names(self, names: Mapping[str, int]) -> None:
        """Write which version each name points at."""
        self._write("names.json", json.dumps(names, indent=1, sort_keys=True).encode())

    def keep_only(self, versions: set[int]) -> None:
        """Drop the bytes of all other versions; their metadata stays."""
        for path in self._directory.glob("*.safetensors"):
            if path.stem.isdigit() and int(path.stem) not in versions:
                path.unlink()

    def _read_json(self, name: str) -> Any:
        path = self._directory / name
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path}: expected JSON, found {error}; mend it, or move {self._directory} away to start without models"
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        write_atomically(self._directory / name, data)
