"""What changes a recording's folder: it is begun, goes on, ends a sitting, and is merged with others."""

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from distill.errors import ConfigError, RunError
from distill.files import TEMPORARY, remove_leftovers, write_atomically
from distill.games import PREPROCESSING
from distill.machine_errors import refusal
from distill.recording import TEACHER, Recording
from distill.recording_manifest import FORMAT, Manifest, RecordingSettings, Source, read_manifest, write_manifest
from distill.segments import recover
from distill.teachers import Teacher

log = logging.getLogger(__name__)

_LOCK = "recording.lock"
_MOST_SCORES = 1_000


def begin(path: Path, settings: RecordingSettings, teachers: Mapping[str, Teacher], version: str) -> None:
    """Make the folder of a new recording; one that is there must have the same settings, and goes on.

    Raises:
        RunError: if something else is there, the recording is damaged, or the folder cannot be made.
        ConfigError: if the recording has other settings.
    """
    if os.path.lexists(path):
        _require_same(path, settings)
        return
    source = Source(settings=settings, version=version, sittings=0, segments={}, scores={})
    cards = {game: asdict(teacher.card) for game, teacher in teachers.items()}
    with _made_whole(path) as folder:
        for game, teacher in teachers.items():
            (folder / game).mkdir()
            write_atomically(folder / game / TEACHER, teacher.data)
        write_manifest(folder, _manifest(cards, [source]))


def begin_sitting(path: Path) -> tuple[int, Recording]:
    """Close what a killed sitting has left; return the number of the one that begins, from 0, and what is there.

    Raises:
        RunError: if the recording is damaged, or the disk refuses.
    """
    recording = _closed(path)
    (source,) = recording.manifest.sources
    source = source.model_copy(update={"sittings": source.sittings + 1})
    write_manifest(path, recording.manifest.model_copy(update={"sources": [source]}))
    return source.sittings - 1, recording


def end_sitting(path: Path, scores: Mapping[str, Sequence[float]]) -> Recording:
    """Close all segments, note how many there are, and return the recording.

    Args:
        path: its folder.
        scores: raw scores of the newest episodes that the teacher has driven in this sitting, by game.

    Raises:
        RunError: if the recording is damaged, or the disk refuses.
    """
    recording = _closed(path)
    (source,) = recording.manifest.sources
    counts = {
        game: {series.name: len(series.segments) for series in recording.series[game]} for game in recording.games
    }
    known = {game: [*source.scores.get(game, []), *scores.get(game, [])][-_MOST_SCORES:] for game in recording.games}
    source = source.model_copy(update={"segments": counts, "scores": known})
    write_manifest(path, recording.manifest.model_copy(update={"sources": [source]}))
    return Recording.open(path)


def merge(paths: Sequence[Path], out: Path) -> Recording:
    """Copy several recordings into a new folder as one recording, whole or not at all, and return it.

    Raises:
        RunError: if one is damaged or being made, `out` exists, or the disk refuses.
        ConfigError: if two hold the same data, or have different teachers of a game.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(reading(path))
        recordings = [Recording.open(path) for path in paths]
        _require_mergeable(recordings)
        cards = {game: card for recording in recordings for game, card in recording.manifest.cards.items()}
        with _made_whole(out) as folder:
            for recording in recordings:
                for game in recording.games:
                    unfinished = shutil.ignore_patterns(TEMPORARY)
                    shutil.copytree(recording.path / game, folder / game, ignore=unfinished, dirs_exist_ok=True)
            write_manifest(folder, _manifest(cards, [s for r in recordings for s in r.manifest.sources]))
            # The copies are what will be trusted, so they are what is checked.
            merged = _closed(folder)
            damages = merged.damages(merged.games)
            if damages:
                raise RunError(f"nothing is merged: {'; '.join(damages)}")
    return Recording.open(out)


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Hold a recording, so that nobody else goes on with it, reads it or merges it meanwhile.

    Raises:
        RunError: if another process holds it, or this user may not write into it.
    """
    try:
        lock = (path / _LOCK).open("ab")
    except OSError as error:
        raise RunError(f"{path}: this user may not write into it: {refusal(error)}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{path}: another process is using it; wait for its end, or stop it first") from error
        for folder in (path, *path.glob("*/")):
            remove_leftovers(folder)
        yield


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Keep a recording from going on meanwhile. Raises RunError if it is being made."""
    with ExitStack() as stack:
        # Nobody can be writing where there is no lock, or where it is not even readable.
        with suppress(OSError):
            lock = stack.enter_context((path / _LOCK).open("rb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{path}: it is being recorded; wait for its end, or stop that first") from error
        yield


@contextmanager
def _made_whole(path: Path) -> Generator[Path]:
    """Yield an empty folder that gets its name once the block has ended; nothing is left of a failure."""
    if os.path.lexists(path):
        raise RunError(f"{path}: it exists; choose another folder")
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        (unfinished / _LOCK).touch()
        yield unfinished
        unfinished.rename(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be made: {refusal(error)}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _closed(path: Path) -> Recording:
    """Close what a killed sitting has left of a recording, and return it."""
    for remark in (recording := Recording.open(path)).remarks():
        log.warning("%s", remark)
    for game in recording.games:
        for series in recording.series[game]:
            recover(path / game, series.name)
    return Recording.open(path)


def _manifest(cards: Mapping[str, dict[str, object]], sources: list[Source]) -> Manifest:
    return Manifest(format=FORMAT, preprocessing=dict(PREPROCESSING), cards=dict(cards), sources=sources)


def _require_same(path: Path, settings: RecordingSettings) -> None:
    sources = read_manifest(path).sources
    if len(sources) > 1:
        raise ConfigError(f"{path}: it was merged of {len(sources)} recordings and cannot go on; record into another")
    before, after = sources[0].settings.model_dump(), settings.model_dump()
    changed = [f"{name} is {before[name]}, found {after[name]}" for name in before if before[name] != after[name]]
    if changed:
        raise ConfigError(
            f"{path}: {'; '.join(changed)}; a recording keeps these, so go on with them, or record into another folder"
            " and merge the two with `distill data`"
        )


def _require_mergeable(recordings: Sequence[Recording]) -> None:
    seen: dict[str, Path] = {}
    taught: dict[str, tuple[str, Path]] = {}
    for recording in recordings:
        for source in recording.manifest.sources:
            other = seen.setdefault(source.settings.id, recording.path)
            if other is not recording.path:
                raise ConfigError(f"merge: {other} and {recording.path} were recorded with the same settings and seed")
        for game in recording.games:
            mine = recording.manifest.teacher_of(game)
            known, where = taught.setdefault(game, (mine, recording.path))
            if known != mine:
                raise ConfigError(f"merge: {where} and {recording.path} have different teachers of {game}")
