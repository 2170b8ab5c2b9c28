"""Which game a user means: ROM names, the ids of Gymnasium, ALE and Stable-Baselines3, and titles."""

import functools
import logging
import re
from typing import Annotated

import tyro
from pydantic import AfterValidator

from distill.errors import ConfigError
from distill.words import plain

log = logging.getLogger(__name__)

_ID = re.compile(
    r"(?:ale_py:)?(?:ALE/)?(?P<title>.+?)(?:-ram)?(?:Deterministic|NoFrameskip)?(?:[-_]v\d+)?", re.IGNORECASE
)
"""An environment's id: what it adds to the title says how to play, which this project's preprocessing decides."""


def meant_game(name: str) -> str:
    """Return the ROM name of the game that a user names, and log it if he wrote it in another way.

    Raises:
        ConfigError: if ale-py has no such game for one player, with the nearest names.
    """
    # ale-py and Gymnasium are not needed by commands that name no game.
    from distill.games import require_known  # noqa: PLC0415

    match = _ID.fullmatch(name.strip())
    title = match["title"] if match else name
    game = _roms().get(plain(title))
    if game is None:
        return require_known(name, like=title)
    require_known(game)
    if game != name:
        log.info("game %r: taken as %s", name, game)
    return game


@functools.cache
def _roms() -> dict[str, str]:
    """Return all ROM names, also of games that are not played, by their plain form."""
    from ale_py import roms  # noqa: PLC0415 - see above

    return {plain(rom): rom for rom in roms.get_all_rom_ids()}


def _once_each(games: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(games)) < len(games):
        raise ConfigError(f"games: each game once, found {' '.join(games)}")
    return games


GameName = Annotated[str, AfterValidator(meant_game)]
"""One game; inside the program it is its ROM name."""
Games = Annotated[tuple[GameName, ...], AfterValidator(_once_each), tyro.conf.arg(aliases=("--game",))]
"""Several games, each once."""
