"""`distill play`: look at a model playing, on the terminal, in a film or on a live page."""

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from pydantic import Field
from rich.console import Console
from rich.table import Table

from cluster.commands.options import parse_options
from distill.config import Section, Share
from distill.errors import ConfigError
from distill.files import begins_with, require_writable
from distill.game_names import Games

if TYPE_CHECKING:
    from cluster.play.lineup import Lineup


class PlayOptions(Section):
    """Look at a model playing, a student beside its teacher: on this terminal, in a film, or on a live page."""

    model: tyro.conf.Positional[Path]
    """Native model file of a student or a teacher."""
    games: Games = ()
    """Games to play, one after the other; all of the model's if empty."""
    beside: Path | None = None
    """Another model file that plays beside it, instead of its teacher."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files or folders, of which a student's teachers play beside it; without any it plays alone."""
    out: Path | None = None
    """MP4 file to write instead of playing on the terminal; an older film is replaced, another file is not."""
    page: bool = False
    """Serve a live page on this machine until ctrl-C instead."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port of the page; 0 takes a free one."""
    episodes: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Episodes per game on the terminal or in the film."""
    seconds: Annotated[float, Field(gt=0.0, le=7_200.0)] = 120.0
    """Seconds of play after which such an episode is cut off."""
    speed: Annotated[float, Field(ge=0.1, le=10.0)] = 1.0
    """Speed on the terminal; 1 is the game's own."""
    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of emulators and random actions."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Play."""
    options = parse_options(PlayOptions, arguments, "play", PlayOptions.__doc__ or "")
    if options.page and options.out is not None:
        raise ConfigError("--page and --out: give one of the two")
    if not options.page and options.out is None and not console.is_interactive:
        raise ConfigError("play: standard output is no terminal to play on; name a film with --out, or give --page")
    _require_film(options.out)
    # It takes seconds, which help and wrong options need not wait for.
    from cluster.play.lineup import line_up  # noqa: PLC0415

    lineup = line_up(options.model, options.games, options.beside, options.teachers)
    if options.page:
        _serve(options, lineup, console)
    else:
        _show(options, lineup, console)


def _serve(options: PlayOptions, lineup: "Lineup", console: Console) -> None:
    """Serve the page until ctrl-C or SIGTERM."""
    from cluster.play.server import play_server  # noqa: PLC0415 - see above

    server = play_server(options.model.name, lineup, options.seed, options.epsilon, options.port)
    with suppress(KeyboardInterrupt), server:
        console.print(f"{options.model.name}: http://{server.address}/ (ctrl-C ends this page)", soft_wrap=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        while True:
            time.sleep(3600)


def _show(options: PlayOptions, lineup: "Lineup", console: Console) -> None:
    """Play on the terminal or in a film, and print what came of the episodes; ctrl-C ends a terminal's early."""
    from cluster.play.episodes import Showing, Shown  # noqa: PLC0415 - see above

    showing, shown = Showing(lineup, options.episodes, options.seed, options.epsilon, options.seconds), list[Shown]()
    if options.out is not None:
        from cluster.play.film import play_on_film  # noqa: PLC0415 - see above

        with console.status("filming", spinner="line"):
            shown.extend(play_on_film(options.out, showing))
        console.print(f"film: {options.out}", soft_wrap=True)
    else:
        from cluster.play.terminal import play_on_terminal  # noqa: PLC0415 - see above

        with suppress(KeyboardInterrupt):
            for one in play_on_terminal(console, showing, options.speed):
                shown.append(one)
    if not shown:
        return
    table = Table()
    for column in ("game", "episode", "player", "score", "seconds", "ended"):
        table.add_column(column, justify="right" if column in ("episode", "score", "seconds") else "left")
    for one in shown:
        ended = "game over" if one.finished else f"cut off after {options.seconds:g} s"
        row = (one.game, str(one.episode), lineup.titles[one.who], f"{one.score:g}", f"{one.seconds:.0f}", ended)
        table.add_row(*row)
    console.print(table)


def _require_film(out: Path | None) -> None:
    """Check that a film can be written; raises ConfigError."""
    if out is not None and out.suffix != ".mp4":
        raise ConfigError(f"out: expected the name of an MP4 file, found {str(out)!r}; end it with .mp4")
    if out is not None and out.exists() and not out.is_file():
        raise ConfigError(f"out: {out}: expected a file to write, found a folder or a device")
    require_writable("out", out, ours=lambda path: begins_with(path, b"ftyp"), kind="an MP4 film")
