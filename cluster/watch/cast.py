"""Who plays: which models of a run's folder are its newest student and its teacher, by game."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from actors.policy import Policy, warm_policy
from cluster.models.mirror import ModelMirror, mirrored_lineages
from cluster.state.folder import RunFolder
from cluster.state.kinds import AnyConfig, kind_of, with_teachers
from distill.errors import RunError
from distill.inference import QFunction, load_q_function
from distill.model_card import ModelCard, read_bounded
from distill.teachers import taus_of

Who = Literal["student", "teacher"]
ROLES: tuple[Who, ...] = ("student", "teacher")
LOOK_SECONDS = 2.0
"""How long a version is taken for the newest before the folder is looked at again."""


@dataclass(frozen=True)
class Player:
    """A model that plays.

    Attributes:
        version: its version, 0 for a file.
        lineage: its lineage of models, None for a file.
        path: the file, None for a version of a lineage.
    """

    version: int
    lineage: str | None = None
    path: Path | None = None


class Casting(Protocol):
    """Says who plays."""

    def player(self, who: Who, game: str) -> Player | None:
        """Return who plays a game now, None if there is no such model yet."""
        ...

    def policy(self, who: Who, game: str, player: Player) -> Policy:
        """Return a player's policy for a game."""
        ...


def titles(config: AnyConfig) -> Mapping[Who, str]:
    """Return what the two players of a run are called.

    Nobody is distilled by `distill teach`: its newest candidate plays in the student's place, beside its best.
    """
    if kind_of(config).student is not None:
        return {"student": "Student", "teacher": "Teacher"}
    return {"student": "Candidate", "teacher": "Best"}


class Cast:
    """Finds and loads the models of a run.

    Args:
        folder: the run's folder; nothing is written there.
        config: the run's configuration.
    """

    def __init__(self, folder: RunFolder, config: AnyConfig) -> None:
        self._folder = folder
        self._config = config
        self._kind = kind_of(config)
        self._looked: dict[tuple[Who, str], tuple[float, Player | None]] = {}
        self._models: dict[str | Path, tuple[Player, QFunction, ModelCard]] = {}
        self._policies: dict[tuple[Who, str], tuple[Player, Policy]] = {}

    def player(self, who: Who, game: str) -> Player | None:
        """Return who plays a game now, None if there is no such model yet.

        Raises:
            DistillError: if teacher files or the copy of the models are damaged or gone.
        """
        key = who, game
        at, found = self._looked.get(key, (float("-inf"), None))
        if time.monotonic() - at > LOOK_SECONDS:
            found = self._look(who, game)
            self._looked[key] = time.monotonic(), found
        return found

    def tau(self, game: str, tau: float) -> float:
        """Return the temperature of a game's teacher, which is `tau` unless a fixed one gives logits.

        Raises:
            DistillError: if teacher files are damaged or gone.
        """
        return taus_of(with_teachers(self._config)[1]).get(game, tau)

    def policy(self, who: Who, game: str, player: Player) -> Policy:
        """Return a player's policy for a game.

        Raises:
            DistillError: if its model is damaged, gone, or does not play the game.
        """
        key = who, game
        if key not in self._policies or self._policies[key][0] != player:
            q_function, card = self._model(player)
            if game not in card.actions:
                raise RunError(f"{_name(player)}: plays {', '.join(card.actions)}, not {game}")
            self._policies[key] = player, warm_policy(q_function, game)
        return self._policies[key][1]

    def _look(self, who: Who, game: str) -> Player | None:
        lineage, name = self._kind.teacher_of(game), "best"
        if who == "student":
            lineage, name = self._kind.lineages[-1], "latest"
        if lineage is None:
            # A fixed teacher is a file.
            return Player(0, path=with_teachers(self._config)[1][game].path)
        # A mirror makes its folder if it is not there, so it is opened only where it is.
        if lineage.name not in mirrored_lineages(self._folder.path):
            return None
        version = ModelMirror(self._folder.path, lineage.name).names().get(name)
        return None if version is None else Player(version, lineage.name)

    def _model(self, player: Player) -> tuple[QFunction, ModelCard]:
        """Return a player's q-function and card; the student's are the same for all games."""
        place = player.lineage or player.path
        assert place is not None, "a player has a lineage or a path"
        if place not in self._models or self._models[place][0] != player:
            self._models[place] = player, *load_q_function(self._bytes(player))
        return self._models[place][1:]

    def _bytes(self, player: Player) -> bytes:
        if player.path is not None:
            return read_bounded(player.path)
        assert player.lineage is not None, "a player has a lineage or a path"
        data = ModelMirror(self._folder.path, player.lineage).data(player.version)
        if data is None:
            raise RunError(f"{_name(player)}: the run's folder does not hold its weights any more")
        return data


def teacher_scores(config: AnyConfig) -> dict[str, float | None]:
    """Return the mean score on the card of every teacher file; empty for a run whose teachers are learned.

    Raises:
        DistillError: if a file is damaged or gone.
    """
    _, teachers = with_teachers(config)
    return {game: sum(t.scores) / len(t.scores) if t.scores else None for game, t in teachers.items()}


def _name(player: Player) -> str:
    return str(player.path) if player.path is not None else f"{player.lineage} {player.version}"
