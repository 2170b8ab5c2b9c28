"""A recording: labelled transitions of some games as files, recorded once to distil from many times.

It is a folder with a manifest and, for each game, a folder with the teacher's file and the segments of every actor.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from distill.errors import ConfigError, ModelFileError, RunError
from distill.model_card import read_bounded
from distill.recording_manifest import Manifest, read_manifest
from distill.segments import Segment, index_path, read_series, segment_path
from distill.teachers import TeacherFile, read_teacher

TEACHER = "teacher.safetensors"


@dataclass(frozen=True)
class Series:
    """What one actor has recorded of a game.

    Attributes:
        recording: id of the recording that it was made for.
        name: with which its files' names begin.
        segments: in order.
    """

    recording: str
    name: str
    segments: Sequence[Segment]

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return sum(len(segment.chunks) for segment in self.segments)


@dataclass(frozen=True)
class Recording:
    """A recording as it lies on the disk.

    Attributes:
        path: its folder.
        manifest: what its manifest says.
        series: what every actor has recorded, by game.
    """

    path: Path
    manifest: Manifest
    series: Mapping[str, Sequence[Series]]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the recording in a folder; what a killed `distill record` has left unfinished, `remarks` tells.

        Raises:
            RunError: if there is none, it is of another format, a segment is missing, or what describes it is damaged.
        """
        manifest = read_manifest(path)
        found: dict[str, list[Series]] = {game: [] for game in sorted(manifest.cards)}
        for source in manifest.sources:
            for game in source.settings.teachers:
                for name in source.settings.series():
                    series = Series(source.settings.id, name, read_series(path / game, name))
                    _require_whole(path / game, series, source.segments.get(game, {}).get(name, 0))
                    found[game].append(series)
        return cls(path, manifest, found)

    @property
    def games(self) -> tuple[str, ...]:
        """The recorded games, sorted."""
        return tuple(self.series)

    @property
    def chunk_steps(self) -> int:
        """Steps per chunk."""
        return max(source.settings.chunk_steps for source in self.manifest.sources)

    def segments(self, game: str) -> list[Segment]:
        """Return all segments of a game."""
        return [segment for series in self.series[game] for segment in series.segments]

    def transitions(self, game: str) -> int:
        """Return how many transitions of a game there are."""
        return sum(entry.steps for segment in self.segments(game) for entry in segment.chunks)

    def remarks(self) -> list[str]:
        """Return a sentence about each part of a segment that is left out."""
        return [segment.remark for game in self.games for segment in self.segments(game) if segment.remark]

    def require(self, games: Sequence[str]) -> tuple[str, ...]:
        """Return some recorded games, sorted, or all if none is named. Raises ConfigError if one was not recorded."""
        missing = [game for game in games if game not in self.series]
        if missing:
            raise ConfigError(f"games: {self.path} has {', '.join(self.games)}, not {', '.join(missing)}")
        return tuple(sorted(games or self.games))

    def teacher(self, game: str) -> TeacherFile:
        """Return the recording's copy of the file that has labelled a game. Raises RunError if it is another one."""
        path, expected = self.path / game / TEACHER, self.manifest.teacher_of(game)
        try:
            found, teacher = hash_of(read_bounded(path)), read_teacher(path)
        except ModelFileError as error:
            raise RunError(f"{error}; restore it from a copy") from error
        if found != expected:
            raise RunError(f"{path}: damaged: expected SHA-256 {expected}, found {found}; restore it from a copy")
        return teacher

    def damages(self, games: Sequence[str]) -> list[str]:
        """Compare all files of games with their checksums; return a sentence about each that is damaged."""
        found: list[str] = []
        for game in games:
            checks = [lambda game=game: self.teacher(game), *(segment.verify for segment in self.segments(game))]
            for check in checks:
                try:
                    check()
                except RunError as error:
                    found.append(str(error))
        return found


def _require_whole(folder: Path, series: Series, expected: int) -> None:
    """Check that the segments that were closed when the last sitting ended still are there, and closed."""
    closed = sum(segment.checksum is not None for segment in series.segments)
    if closed < expected:
        missing = segment_path(folder, series.name, closed)
        if missing.exists():
            missing = index_path(missing)
        raise RunError(
            f"{missing}: missing: expected {expected} closed segments of this series, found {closed}; restore it from a"
            " copy"
        )


def hash_of(model: bytes) -> str:
    """Return the SHA-256 by which a manifest knows a model file."""
    return hashlib.sha256(model).hexdigest()
