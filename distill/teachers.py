"""Finds the teacher files of a run: one native model file a game."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from distill.config import LossKind
from distill.errors import ConfigError, ModelFileError
from distill.evaluation_protocols import DISTILL, trained_under
from distill.games import require_known
from distill.model_card import ModelCard, card_of, read_bounded, read_card, read_header

log = logging.getLogger(__name__)

_SUFFIX = ".safetensors"
LOGITS_TAU = 1.0
"""Temperature of a policy's logits: their softmax is the policy itself, and needs no sharpening."""


@dataclass(frozen=True)
class TeacherFile:
    """A teacher on disk.

    Attributes:
        game: the game it plays.
        path: its file.
        card: its card.
    """

    game: str
    path: Path
    card: ModelCard

    @property
    def scores(self) -> list[float]:
        """Raw episode scores of its card, none if it was never evaluated."""
        return [float(score) for score in self.card.scores.get(self.game, {}).get("scores", [])]


@dataclass(frozen=True)
class Teacher(TeacherFile):
    """A teacher whose file was read, so that it is needed no more.

    Attributes:
        data: the file's bytes.
    """

    data: bytes = field(repr=False)


@dataclass(frozen=True)
class FoundTeachers:
    """What stands in the places where teachers were looked for.

    Attributes:
        teachers: in the order of the places, those of a folder by name.
        refused: a message that names file and reason, for each `*.safetensors` of a folder that is no teacher.
    """

    teachers: list[TeacherFile] = field(default_factory=list[TeacherFile])
    refused: list[str] = field(default_factory=list[str])

    def warn(self) -> None:
        """Log each refused file."""
        for message in self.refused:
            log.warning("teachers: skipped %s", message)


def read_teacher(path: Path) -> TeacherFile:
    """Return the teacher of a file.

    Raises:
        ModelFileError: if it is no native model file of exactly one game.
    """
    return _teacher_of(path, read_card(path))


def load_teacher(file: TeacherFile) -> Teacher:
    """Return a teacher with the bytes of its file, and the card that they hold; warn of what it has not learned from.

    Raises:
        ModelFileError: if the file cannot be read, or is no teacher of its game any more.
    """
    data = read_bounded(file.path)
    header, _ = read_header(str(file.path), BytesIO(data), len(data))
    found = _teacher_of(file.path, card_of(str(file.path), header))
    if found.game != file.game:
        raise ModelFileError(f"{file.path}: expected a teacher of {file.game}, found one of {found.game}")
    _warn_of_protocol(found)
    return Teacher(found.game, found.path, found.card, data)


def _warn_of_protocol(teacher: TeacherFile) -> None:
    protocol = trained_under(teacher.card.training)
    if protocol is not None and (differences := protocol.differences(DISTILL)):
        log.warning(
            "teacher %s: it was trained under protocol %s, and labels under this project's: %s",
            teacher.path, protocol.name, "; ".join(differences),
        )  # fmt: skip


def _teacher_of(path: Path, card: ModelCard) -> TeacherFile:
    if card.kind != "teacher" or len(card.actions) != 1:
        raise ModelFileError(
            f"{path}: expected a teacher of one game, found a {card.kind} of {', '.join(card.actions)}"
        )
    return TeacherFile(next(iter(card.actions)), path, card)


def find_teachers(places: Sequence[Path]) -> FoundTeachers:
    """Return the teachers of files and of folders' `*.safetensors`; hidden files are left alone.

    Raises:
        ConfigError: if a place does not exist or a folder cannot be read.
        ModelFileError: if a file that is a place itself is not a teacher.
    """
    found = FoundTeachers()
    for place in places:
        if not place.is_dir():
            _require_there(place)
            found.teachers.append(read_teacher(place))
            continue
        for path in _model_files(place):
            try:
                found.teachers.append(read_teacher(path))
            except ModelFileError as error:
                found.refused.append(str(error))
    return found


def choose_teachers(places: Sequence[Path], games: Sequence[str]) -> dict[str, TeacherFile]:
    """Return one teacher per game, sorted by game; of all games found if `games` is empty.

    With `games`, a folder's file that is no teacher is skipped with a warning. Without, it is an error: the user may
    count on its game.

    Raises:
        ConfigError: if a place does not exist, a game has no teacher or two, or there is none at all.
        ModelFileError: if a file is not a teacher, and `games` is empty or the file is a place itself.
    """
    for game in games:
        require_known(game)
    found = find_teachers(places)
    if found.refused and not games:
        raise ModelFileError(f"{'; '.join(found.refused)}; mend it or move it away, or name games with --games")
    by_game: dict[str, TeacherFile] = {}
    for teacher in found.teachers:
        other = by_game.setdefault(teacher.game, teacher)
        if other is not teacher and (not games or teacher.game in games):
            raise ConfigError(
                f"teachers: two for {teacher.game}, {other.path} and {teacher.path}; name one with --teachers"
            )
    where = ", ".join(map(str, places))
    missing = [game for game in games if game not in by_game]
    if missing and found.refused:
        raise ConfigError(f"games: no teacher for {', '.join(missing)}, perhaps because of {'; '.join(found.refused)}")
    if not by_game:
        raise ConfigError(f"teachers: no *{_SUFFIX} in {where}; import one with `distill import-teacher`")
    if missing:
        raise ConfigError(f"games: no teacher for {', '.join(missing)}; {where} has {', '.join(sorted(by_game))}")
    found.warn()
    return {game: by_game[game] for game in sorted(games or by_game)}


def taus_of(teachers: Mapping[str, TeacherFile]) -> dict[str, float]:
    """Return the temperature of each game whose teacher gives logits; q-values have the run's own."""
    return {game: LOGITS_TAU for game, teacher in teachers.items() if teacher.card.labels == "logits"}


def require_labels(teachers: Mapping[str, TeacherFile], loss: LossKind) -> None:
    """Check that a student can learn from its teachers' labels by a loss.

    Raises:
        ConfigError: if the loss copies q-values and a teacher gives logits.
    """
    for game, teacher in teachers.items():
        if loss == "mse" and teacher.card.labels == "logits":
            raise ConfigError(
                f"loss: mse copies q-values, but the teacher of {game}, {teacher.path}, is a policy and gives logits;"
                " use kl, nll, reverse-kl or jensen-shannon"
            )


def _require_there(place: Path) -> None:
    if place.is_symlink() and not place.exists():
        raise ConfigError(f"teachers: {place} is a broken link to {place.readlink()}")
    if not place.exists():
        what = "file" if place.suffix == _SUFFIX else "folder"
        raise ConfigError(
            f"teachers: no such {what} {place}; name another with --teachers, or make a teacher with"
            " `distill import-teacher` or `distill teach`"
        )


def _model_files(folder: Path) -> list[Path]:
    """Return a folder's model files by name, without hidden ones such as macOS's `._pong.safetensors`."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"teachers: {folder} cannot be read: {error.strerror}") from error
    return [path for path in entries if path.suffix == _SUFFIX and not path.name.startswith(".")]
