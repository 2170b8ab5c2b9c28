"""Finds the teacher files of a run: one native model file a game."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.errors import ConfigError, ModelFileError
from distill.games import require_known
from distill.model_card import ModelCard, read_card


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


def read_teacher(path: Path) -> TeacherFile:
    """Return the teacher of a file.

    Raises:
        ModelFileError: if it is no native model file of exactly one game.
    """
    card = read_card(path)
    if card.kind != "teacher" or len(card.actions) != 1:
        raise ModelFileError(
            f"{path}: expected a teacher of one game, found a {card.kind} of {', '.join(card.actions)}"
        )
    return TeacherFile(next(iter(card.actions)), path, card)


def list_teachers(places: Sequence[Path]) -> list[TeacherFile]:
    """Return the teachers of files and of folders' `*.safetensors`, in that order.

    Raises:
        ModelFileError: if a place does not exist or a file is not a teacher.
    """
    found: list[TeacherFile] = []
    for place in places:
        if place.is_dir():
            found.extend(read_teacher(path) for path in sorted(place.glob("*.safetensors")))
        else:
            found.append(read_teacher(place))
    return found


def choose_teachers(places: Sequence[Path], games: Sequence[str]) -> dict[str, TeacherFile]:
    """Return one teacher per game, sorted by game; of all games found if `games` is empty.

    Raises:
        ConfigError: if a game has no teacher or two, or there is none at all.
        ModelFileError: if a file is not a teacher.
    """
    for game in games:
        require_known(game)
    by_game: dict[str, TeacherFile] = {}
    for teacher in list_teachers(places):
        other = by_game.setdefault(teacher.game, teacher)
        if other is not teacher and (not games or teacher.game in games):
            raise ConfigError(
                f"teachers: two for {teacher.game}, {other.path} and {teacher.path}; name one with --teachers"
            )
    where = ", ".join(map(str, places))
    if not by_game:
        raise ConfigError(f"teachers: no *.safetensors in {where}; import one with `distill import-teacher`")
    missing = [game for game in games if game not in by_game]
    if missing:
        raise ConfigError(f"games: no teacher for {', '.join(missing)}; {where} has {', '.join(sorted(by_game))}")
    return {game: by_game[game] for game in sorted(games or by_game)}
