"""Plays on a terminal, in its own screen, at the game's own speed."""

import time
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.styled import Styled
from rich.table import Table

from actors.video import FRAMES_PER_SECOND
from cluster.play.episodes import Showing, Shown, results
from cluster.play.screen import HALF_BLOCK, Screen, columns_of
from cluster.watch.cast import Who
from cluster.watch.match import Match
from distill.errors import ConfigError
from distill.games import action_meanings

COLOURS: Mapping[Who, str] = {"student": "#4aa6de", "teacher": "#f08a3c"}
"""As on the live page."""
_MINDS, _NUMBERS = 44, 26
"""Columns of q-values, with bars and without."""
_DIAGONALS = {"UPRIGHT": "UR ", "UPLEFT": "UL ", "DOWNRIGHT": "DR ", "DOWNLEFT": "DL "}
_LEAST_SCREEN = 20
"""Columns of a picture in which a game can still be told."""
_FRAME = 5
"""Rows around the pictures."""
_GAP = 2
_LEAST_OFTEN = 0.25
"""Seconds after which a picture is shown even by a machine that is behind."""


def play_on_terminal(console: Console, showing: Showing, speed: float) -> Iterator[Shown]:
    """Show the episodes and yield their results.

    Args:
        console: a terminal that has colours.
        showing: what to show.
        speed: 1 is the game's own; a machine that is too slow shows fewer pictures, and then plays more slowly.

    Raises:
        ConfigError: if the terminal has no colours or half blocks, or is too small.
    """
    if console.no_color or console.color_system is None:
        raise ConfigError("play: the pictures need colours, which this terminal does not show; name a film with --out")
    try:
        HALF_BLOCK.encode(console.encoding)
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"play: the terminal needs half blocks, which {console.encoding} does not have; set LC_ALL=C.UTF-8, or"
            " name a film with --out"
        ) from error
    width, height = console.size
    if width < _LEAST_SCREEN or height < _FRAME + _LEAST_SCREEN // 2:
        raise ConfigError(
            f"play: expected a terminal of {_LEAST_SCREEN} columns and {_FRAME + _LEAST_SCREEN // 2} rows or more,"
            f" found {width} and {height}; enlarge it, or name a film with --out"
        )
    seconds = 1.0 / (FRAMES_PER_SECOND * speed)
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        for episode, match in showing.matches():
            due, shown_at = time.monotonic(), 0.0
            for now in showing.steps(match):
                behind = time.monotonic() > due + seconds
                if not behind or now.ended or time.monotonic() - shown_at >= _LEAST_OFTEN:
                    live.update(drawn(console, showing, episode, now), refresh=True)
                    shown_at = time.monotonic()
                due = max(due + seconds, time.monotonic() - 1.0)
                time.sleep(max(0.0, due - time.monotonic()))
            yield from results(episode, match)


def drawn(console: Console, showing: Showing, episode: int, match: Match) -> RenderableType:
    """Return a match as it is drawn on a terminal of the console's size."""
    width, rows = console.size.width, console.size.height - _FRAME
    shapes = {who: seat.moment.picture.shape for who, seat in match.seats.items()}
    height, columns = next(iter(shapes.values()))[:2]
    wanted = columns_of(rows, height, columns)
    # Bars, and then numbers, are left out before the pictures become too small.
    beside = width - len(shapes) * (_LEAST_SCREEN + _GAP)
    minds = next((columns for columns in (_MINDS, _NUMBERS) if columns <= beside), 0)
    room = (width - minds) // len(shapes) - _GAP
    size = max(1, min(wanted, room))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    cells: list[RenderableType] = [_seat(showing, who, match, size) for who in match.seats]
    if minds:
        cells.append(_minds(showing, match, bars=minds == _MINDS))
    grid.add_row(*cells)
    title = f"{match.game.replace('_', ' ').title()}, episode {episode} of {showing.episodes}"
    agreement = "" if match.agreement is None else f"Same choice on {match.agreement:.0%} of the last 10 s.  "
    return Group(Styled(title, "bold"), "", grid, Styled(f"{agreement}ctrl-C ends.", "dim"))


def _seat(showing: Showing, who: Who, match: Match, columns: int) -> RenderableType:
    seat = match.seats[who]
    state = "over" if seat.moment.ended else f"{seat.steps / FRAMES_PER_SECOND:.0f} s"
    caption = Styled(showing.lineup.titles[who], f"bold {COLOURS[who]}")
    return Group(Screen(seat.moment.picture, columns), caption, f"Score {seat.score:g}, {state}")


def _minds(showing: Showing, match: Match, *, bars: bool) -> RenderableType:
    """Return both networks' q-values on the watched screen, with bars between each one's lowest and highest."""
    outputs = match.outputs()
    assert match.watched is not None, "somebody plays"
    taken = match.seats[match.watched].action
    table = Table.grid(padding=(0, 1, 0, 0))
    heads: list[RenderableType] = ["  q-values"]
    for who in outputs:
        title = Styled(showing.lineup.titles[who][:8], COLOURS[who])
        heads += [title, ""] if bars else [title]
    table.add_row(*heads)
    for index, action in enumerate(action_meanings(match.game)):
        cells: list[RenderableType] = [f"{'>' if index == taken else ' '} {_action(action)}"]
        for who, values in outputs.items():
            if bars:
                cells.append(Bar(1.0, 0.0, _share(values, index), width=8, color=COLOURS[who]))
            cells.append(Styled(f"{values[index]:6.2f}", "bold" if index == int(values.argmax()) else "dim"))
        table.add_row(*cells)
    return table


def _action(action: str) -> str:
    """Return an action in nine letters at most: `rightfire`, `ur fire` for up, right and fire."""
    for long, short in _DIAGONALS.items():
        action = action.replace(long, short)
    return action.strip().lower()


def _share(values: npt.NDArray[np.float32], index: int) -> float:
    low, high = float(values.min()), float(values.max())
    return 0.0 if high <= low else (float(values[index]) - low) / (high - low)
