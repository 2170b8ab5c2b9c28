"""How many actors of each game a run is to have: what its configuration says, or what was asked for since.

What was asked for stands in a file of the run's folder. So it can be asked for from outside while the run goes on, and
holds when the run is resumed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from cluster.state.folder import RunFolder
from cluster.state.kinds import AnyConfig, kind_of
from distill.config import MOST_ACTORS
from distill.errors import ConfigError

FILE = "actors.json"


class WantedActors:
    """The wanted number of actors of each game.

    Args:
        folder: the run's.
        games: its games.
        configured: actors of each game by its configuration.
        shards: streams of each game, each of which needs an actor.
    """

    def __init__(self, folder: RunFolder, games: Sequence[str], configured: int, shards: int) -> None:
        self._file = folder.path / FILE
        self._folder = folder
        self._configured = dict.fromkeys(games, configured)
        self._shards = shards

    @classmethod
    def of(cls, folder: RunFolder, config: AnyConfig) -> Self:
        """Return the counts of a run with this configuration."""
        return cls(folder, config.general.games, kind_of(config).playing.actors, config.buffer.shards)

    def wanted(self) -> dict[str, int]:
        """Return the number by game.

        Raises:
            ConfigError: if the file is damaged.
        """
        try:
            asked: Any = json.loads(self._file.read_bytes())
            if not isinstance(asked, dict):
                raise ValueError(f"found {type(asked).__name__}")
        except FileNotFoundError:
            return dict(self._configured)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f'{self._file}: expected numbers of actors such as {{"pong": 8}}: {error}; delete the file'
            ) from error
        return self._configured | self._checked(cast(dict[str, Any], asked))

    def ask(self, counts: Mapping[str, int]) -> None:
        """Ask for other numbers; games that are not named keep theirs.

        Raises:
            ConfigError: if a game is not the run's, or a number is out of range.
        """
        wanted = self.wanted() | self._checked(counts)
        self._folder.write_json(FILE, wanted)

    def _checked(self, counts: Mapping[str, Any]) -> dict[str, int]:
        for game, count in counts.items():
            if game not in self._configured:
                raise ConfigError(f"game {game!r}: this run plays {', '.join(self._configured)}")
            if not isinstance(count, int) or not self._shards <= count <= MOST_ACTORS:
                raise ConfigError(
                    f"actors of {game}: expected {self._shards} to {MOST_ACTORS}, found {count};"
                    " a game's streams (--shards) need an actor each"
                )
        return dict(counts)
