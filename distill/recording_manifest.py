"""The manifest of a recording: who recorded what and how. What was recorded so far, the segments say themselves."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from distill.errors import ConfigError, RunError
from distill.games import PREPROCESSING, require_known
from distill.sealed_json import read_sealed, write_sealed

FORMAT = 1
MANIFEST = "manifest.json"
_ID_BYTES = 8


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordingSettings(_Part):
    """What decides every byte that is recorded; a recording that goes on keeps it.

    Attributes:
        teachers: SHA-256 of each game's teacher file.
        seed: of everything random.
        actors: per game; each has a series of segments.
        lanes: emulators of an actor.
        chunk_steps: steps per chunk.
        epsilon: share of uniformly random actions.
        driver: who picks the actions.
        student: SHA-256 of the driving student's file, None where the teacher drives.
        student_share: share of episodes that the student drives.
    """

    teachers: dict[str, str]
    seed: int
    actors: int
    lanes: int
    chunk_steps: int
    epsilon: float
    driver: Literal["teacher", "student", "mixture"]
    student: str | None
    student_share: float

    @property
    def id(self) -> str:
        """Name of what is recorded so: the same settings have the same id, since they give the same data."""
        return _short_hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    def series(self) -> list[str]:
        """Return the names of the actors' series, which are the same in every game's folder."""
        return [f"{self.id}-{index}" for index in range(self.actors)]

    def producer_id(self, producer: str, incarnation: int) -> str:
        """Return the id of a producer's process, which is the same whenever this is recorded again."""
        return _short_hash(f"{self.id}/{producer}/{incarnation}")


class Source(_Part):
    """What one `distill record` has recorded; a merged recording has several.

    Attributes:
        settings: how.
        version: of the program that began it.
        sittings: how often it was begun or went on.
        segments: by game and series, how many segments there were when the last sitting ended.
        scores: by game, raw scores of the newest episodes that the teacher drove, as far as sittings have ended.
    """

    settings: RecordingSettings
    version: str
    sittings: int
    segments: dict[str, dict[str, int]]
    scores: dict[str, list[float]]


class Manifest(_Part):
    """What stands in a recording's manifest.

    Attributes:
        format: of the folder.
        preprocessing: of the observations; must be `distill.games.PREPROCESSING`.
        cards: the card of each game's teacher.
        sources: what was recorded.
    """

    format: Literal[1]
    preprocessing: dict[str, bool | int | float | str]
    cards: dict[str, dict[str, Any]]
    sources: list[Source]

    def teacher_of(self, game: str) -> str:
        """Return the SHA-256 of a game's teacher file."""
        return next(s.settings.teachers[game] for s in self.sources if game in s.settings.teachers)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the recording in a folder.

    Raises:
        RunError: if there is none, it is damaged, or of another format or preprocessing.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(f"{path}: expected a recording, with {MANIFEST} in it; make one with `distill record`")
    content = read_sealed(file)
    if content.get("format") != FORMAT:
        raise RunError(
            f"{file}: expected format {FORMAT}, found {content.get('format')!r}, of another version of this program"
        )
    try:
        manifest = Manifest.model_validate(content)
        for game in manifest.cards:
            require_known(game)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RunError(f"{file}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    recorded = {game for source in manifest.sources for game in source.settings.teachers}
    if not recorded or recorded != manifest.cards.keys():
        raise RunError(f"{file}: expected the teachers of {sorted(recorded)}, found those of {sorted(manifest.cards)}")
    if manifest.preprocessing != PREPROCESSING:
        raise RunError(f"{file}: expected the preprocessing {PREPROCESSING}, found {manifest.preprocessing}")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a recording's manifest. Raises RunError if the disk refuses."""
    write_sealed(path / MANIFEST, manifest.model_dump(mode="json"))


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_ID_BYTES).hexdigest()
