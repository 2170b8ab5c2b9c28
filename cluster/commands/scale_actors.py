"""`distill scale-actors`: change how many actors the games of a run have, also while it runs."""

from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from cluster.commands.options import parse_options
from cluster.state.folder import open_any_run
from cluster.workers.wanted_actors import WantedActors
from distill.config import Section
from distill.errors import ConfigError
from distill.game_names import meant_game


class ScaleActorsOptions(Section):
    """Change how many actors the games of a run have. A run that goes on adds or retires them within seconds."""

    run: tyro.conf.Positional[Path]
    """Folder of the run; it may be running or not."""
    actors: tyro.conf.Positional[tuple[str, ...]] = ()
    """Numbers by game, as in `pong=8 breakout=4`; without any, the present ones are shown."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Show the numbers, or ask for others."""
    options = parse_options(ScaleActorsOptions, arguments, "scale-actors", ScaleActorsOptions.__doc__ or "")
    asked = dict(map(_parse, options.actors))
    if len(asked) < len(options.actors):
        raise ConfigError(f"actors: each game once, found {' '.join(options.actors)}")
    folder, config = open_any_run(options.run)
    if config.general.serial:
        raise ConfigError(f"run {folder.name}: it is --serial, one process, which has no actors to add")
    counts = WantedActors.of(folder, config)
    if asked:
        counts.ask(asked)
    wanted = ", ".join(f"{game} {count}" for game, count in counts.wanted().items())
    when = "" if not asked else ", within seconds" if folder.in_use() else ", once it is resumed"
    console.print(f"actors of run {folder.name}: {wanted}{when}", soft_wrap=True)


def _parse(text: str) -> tuple[str, int]:
    game, separator, count = text.partition("=")
    if not separator or not count.isdecimal():
        raise ConfigError(f"actors: expected GAME=NUMBER, as in pong=8, found {text!r}")
    return meant_game(game), int(count)
