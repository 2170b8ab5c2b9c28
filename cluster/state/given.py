"""The model files that a run is given: its fixed teachers, and what its Q-learners begin with.

Each is read once, when the run starts. What becomes of a file later matters to no process of the run; when the run is
resumed, its weights must be the same, by their hash. The card may change, as `distill evaluate --write-card` does it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.state.folder import ENVIRONMENT, RunFolder
from distill.errors import ConfigError
from distill.model_card import read_bounded, weights_digest
from distill.teachers import Teacher, TeacherFile, load_teacher

_SHOWN = 12
"""Digits of a hash in a message."""


@dataclass(frozen=True)
class GivenModels:
    """Models as bytes, with the files that they were read from.

    Attributes:
        teachers: the fixed teacher of every game; none where Q-learners teach.
        initial_file: what the Q-learners begin with, None without one.
        initial: its bytes.
    """

    teachers: Mapping[str, Teacher] = field(default_factory=dict[str, Teacher])
    initial_file: Path | None = None
    initial: bytes | None = field(default=None, repr=False)

    @classmethod
    def read(cls, teachers: Mapping[str, TeacherFile], initial: Path | None) -> "GivenModels":
        """Read the files.

        Raises:
            ModelFileError: if one cannot be read, or is no teacher of its game any more.
        """
        loaded = {game: load_teacher(teacher) for game, teacher in teachers.items()}
        return cls(loaded, initial, None if initial is None else read_bounded(initial))

    def record(self) -> dict[str, dict[str, str]]:
        """Return what the run's folder keeps of them: path and SHA-256 of the weights by what each is for."""
        return {
            what: {"path": str(path.resolve()), "weights_sha256": weights_digest(data)}
            for what, path, data in self._all()
        }

    def require_recorded(self, folder: RunFolder) -> None:
        """Check that these are the models that a run has begun with.

        Raises:
            ConfigError: naming the file that is another one now.
        """
        recorded = folder.given()
        for what, found in self.record().items():
            if recorded is not None and what not in recorded:
                raise ConfigError(
                    f"resume {folder.path}: {what}: expected none, as the run has begun without, found {found['path']};"
                    " leave it out, or start a new run with it"
                )
            expected = _digest(recorded, what)
            if expected is None:
                raise ConfigError(
                    f"resume {folder.path}: {what}: expected the SHA-256 of its weights in"
                    f" {folder.path / ENVIRONMENT}, found a damaged file; mend that, or start a new run"
                )
            if expected != found["weights_sha256"]:
                raise ConfigError(
                    f"resume {folder.path}: {what}: expected the weights with SHA-256 {expected[:_SHOWN]}..., with"
                    f" which the run has begun, found {found['weights_sha256'][:_SHOWN]}... in {found['path']}; put the"
                    " first file back, or start a new run with this one"
                )

    def _all(self) -> Iterator[tuple[str, Path, bytes]]:
        for game, teacher in self.teachers.items():
            yield f"teacher of {game}", teacher.path, teacher.data
        if self.initial_file is not None and self.initial is not None:
            yield "initial model", self.initial_file, self.initial


def _digest(recorded: Mapping[str, Any] | None, what: str) -> str | None:
    try:
        found: Any = (recorded or {})[what]["weights_sha256"]
    except (LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None
