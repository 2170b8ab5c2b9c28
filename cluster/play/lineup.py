"""Who plays which game: a model alone, or beside its teacher or another model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.policy import Policy, warm_policy
from cluster.watch.cast import Player, Who
from cluster.watch.match import Match
from distill.config import StudentConfig
from distill.errors import ConfigError
from distill.inference import QFunction, load_q_function
from distill.model_card import ModelCard, read_card
from distill.teachers import find_teachers


@dataclass(frozen=True)
class Lineup:
    """The models that play; it is a `Casting`.

    Attributes:
        games: ROM names.
        titles: what the players are called.
        files: model file by player and game.
        tau: temperature of the teacher's softmax, as the student learned from it.
        student_tau: of the student's own: 1 where it learned probabilities.
    """

    games: tuple[str, ...]
    titles: Mapping[Who, str]
    files: Mapping[Who, Mapping[str, Path]]
    tau: float
    student_tau: float
    _q_functions: dict[Path, QFunction] = field(default_factory=dict[Path, QFunction], init=False, repr=False)
    _policies: dict[tuple[Path, str], Policy] = field(
        default_factory=dict[tuple[Path, str], Policy], init=False, repr=False
    )

    def player(self, who: Who, game: str) -> Player | None:
        """Return who plays a game, None if nobody does in that place."""
        path = self.files.get(who, {}).get(game)
        return None if path is None else Player(0, path=path)

    def policy(self, who: Who, game: str, player: Player) -> Policy:
        """Return a player's policy for a game.

        Raises:
            ModelFileError: if its file is damaged.
        """
        del who
        assert player.path is not None, "all players are files"
        key = player.path, game
        if key not in self._policies:
            if player.path not in self._q_functions:
                self._q_functions[player.path] = load_q_function(player.path)[0]
            self._policies[key] = warm_policy(self._q_functions[player.path], game)
        return self._policies[key]

    def match(self, game: str, seed: int, epsilon: float, *, endless: bool) -> Match:
        """Return a match of these models."""
        return Match(game, self, seed, epsilon, self.tau, self.student_tau, endless=endless)

    def players(self, game: str) -> list[Who]:
        """Return who plays a game."""
        return [who for who, files in self.files.items() if game in files]


def line_up(model: Path, games: Sequence[str], beside: Path | None, teachers: Sequence[Path]) -> Lineup:
    """Return who plays.

    Args:
        model: a model file.
        games: to play; all of the model's if empty.
        beside: another model file that plays beside it.
        teachers: files and folders in which a student's teachers are looked for, if `beside` is None.

    Raises:
        ConfigError: if a model does not play a game.
        ModelFileError: if a file is no model file.
    """
    card = read_card(model)
    chosen = tuple(games) or tuple(card.actions)
    _require_games(model, card, chosen)
    tau, student_tau = _temperatures(card)
    if beside is not None:
        other = read_card(beside)
        _require_games(beside, other, chosen)
        names: dict[Who, str] = {"student": _title(model, card, other), "teacher": _title(beside, other, card)}
        return Lineup(
            chosen, names, {"student": dict.fromkeys(chosen, model), "teacher": dict.fromkeys(chosen, beside)},
            tau, student_tau,
        )  # fmt: skip
    if card.kind == "teacher":
        return Lineup(chosen, {"teacher": "Teacher"}, {"teacher": dict.fromkeys(chosen, model)}, tau, student_tau)
    found = find_teachers([place for place in teachers if place.exists()])
    found.warn()
    beside_it = {teacher.game: teacher.path for teacher in found.teachers if teacher.game in chosen}
    titles: dict[Who, str] = {"student": "Student"}
    if beside_it:
        titles["teacher"] = "Teacher"
    return Lineup(
        chosen, titles, {"student": dict.fromkeys(chosen, model), "teacher": beside_it}, tau, student_tau
    )  # fmt: skip


def _require_games(path: Path, card: ModelCard, games: Sequence[str]) -> None:
    unknown = [game for game in games if game not in card.actions]
    if unknown:
        raise ConfigError(f"games: {path} plays {', '.join(card.actions)}, not {', '.join(unknown)}")


def _temperatures(card: ModelCard) -> tuple[float, float]:
    """Return the temperature of the teacher's softmax and of the model's own, as its card tells of its loss."""
    loss, tau = card.training.get("loss"), card.training.get("tau")
    sharp = (
        float(tau) if isinstance(tau, int | float) and not isinstance(tau, bool) and tau > 0 else StudentConfig().tau
    )
    return sharp, sharp if card.kind == "teacher" or loss == "mse" else 1.0


def _title(path: Path, card: ModelCard, other: ModelCard) -> str:
    """Return a name that tells a model from the other one."""
    return card.kind.title() if card.kind != other.kind else path.stem
