"""Draws models at play for a film: both screens, their scores, and what both networks think of one screen."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from actors.video import FRAMES_PER_SECOND, film
from cluster.play.episodes import Showing, Shown, results
from cluster.play.lineup import Lineup
from cluster.watch.cast import Who
from cluster.watch.match import Match
from distill.games import action_meanings, load_rom

_SCALE = 2
_SCREEN_WIDTH = 160 * _SCALE
_MARGIN, _HEAD, _FOOT, _MINDS = 16, 44, 52, 400
_ROW = 24
_PAPER, _INK, _MUTED, _TRACK = "#101316", "#e9ebee", "#a0a9b4", "#262c33"
_COLOURS: Mapping[Who, str] = {"student": "#4aa6de", "teacher": "#f08a3c"}
_HOLD = FRAMES_PER_SECOND
"""Pictures for which the end of an episode is held."""
_FONT, _SMALL = ImageFont.load_default(18), ImageFont.load_default(15)


def play_on_film(path: Path, showing: Showing) -> Iterator[Shown]:
    """Film the episodes, one after the other, and yield their results.

    Args:
        path: the MP4 file.
        showing: what to show.

    Raises:
        RunError: if the file cannot be written.
    """
    size = picture_size(showing.lineup)
    # A link stays a link.
    with film(Path(os.path.realpath(path)), scale=1) as add:
        for episode, match in showing.matches():
            picture: npt.NDArray[np.uint8] | None = None
            for now in showing.steps(match):
                picture = drawn(showing, episode, now, size)
                add(picture)
            assert picture is not None, "a match has a beginning"
            for _ in range(_HOLD):
                add(picture)
            yield from results(episode, match)


def picture_size(lineup: Lineup) -> tuple[int, int]:
    """Return width and height that have room for every game of a lineup."""
    seats = max(len(lineup.players(game)) for game in lineup.games)
    rows = max(len(action_meanings(game)) for game in lineup.games)
    tallest = max(load_rom(game).getScreenDims()[0] for game in lineup.games) * _SCALE
    width = _MARGIN + seats * (_SCREEN_WIDTH + _MARGIN) + _MINDS + _MARGIN
    return width, _HEAD + max(tallest, rows * _ROW) + _FOOT


def drawn(showing: Showing, episode: int, match: Match, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a match as a picture [H, W, 3] of a `picture_size`."""
    image = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(image)
    title = match.game.replace("_", " ").title()
    if showing.episodes > 1:
        title = f"{title}, episode {episode}"
    draw.text((_MARGIN, 12), title, _INK, _FONT)
    for number, (who, seat) in enumerate(match.seats.items()):
        left = _MARGIN + number * (_SCREEN_WIDTH + _MARGIN)
        screen = Image.fromarray(seat.moment.picture)
        large = screen.resize((screen.width * _SCALE, screen.height * _SCALE), Image.Resampling.NEAREST)
        image.paste(large, (left, _HEAD))
        foot = _HEAD + large.height + 8
        draw.text((left, foot), showing.lineup.titles[who], _COLOURS[who], _FONT)
        state = "over" if seat.moment.ended else f"{seat.steps / FRAMES_PER_SECOND:.0f} s"
        draw.text((left, foot + 22), f"Score {seat.score:g}, {state}", _MUTED, _SMALL)
    _draw_minds(draw, showing, match, size[0] - _MINDS - _MARGIN)
    return np.asarray(image)


def _draw_minds(draw: ImageDraw.ImageDraw, showing: Showing, match: Match, left: int) -> None:
    """Draw both networks' q-values on the watched screen, as bars between each one's lowest and highest."""
    outputs = match.outputs()
    assert match.watched is not None, "somebody plays"
    taken = match.seats[match.watched].action
    on = f" on the screen of {showing.lineup.titles[match.watched]}" if len(outputs) > 1 else ""
    draw.text((left, 14), f"q-values{on}", _MUTED, _SMALL)
    bars = (_MINDS - 130) // 2 - 60
    actions = action_meanings(match.game)
    for index, action in enumerate(actions):
        top = _HEAD + index * _ROW
        name = action.replace("_", " ").lower()
        draw.text((left, top), f"{'> ' if index == taken else '   '}{name}", _INK if index == taken else _MUTED, _SMALL)
        for number, (who, values) in enumerate(outputs.items()):
            low, high = float(values.min()), float(values.max())
            share = 0.0 if high <= low else (float(values[index]) - low) / (high - low)
            begin = left + 130 + number * (bars + 60)
            draw.rectangle((begin, top + 4, begin + bars, top + 14), _TRACK)
            if share > 0.0:
                draw.rectangle((begin, top + 4, begin + round(bars * share), top + 14), _COLOURS[who])
            best = index == int(values.argmax())
            draw.text((begin + bars + 6, top), f"{values[index]:.2f}", _INK if best else _MUTED, _SMALL)
    if match.agreement is not None:
        told = f"Same choice on {match.agreement:.0%} of the last 10 s"
        draw.text((left, _HEAD + len(actions) * _ROW + 10), told, _MUTED, _SMALL)
