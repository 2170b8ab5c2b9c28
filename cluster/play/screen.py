"""An emulator's picture in a terminal's characters: a half block has a pixel above and one below."""

from functools import lru_cache
from itertools import groupby

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

HALF_BLOCK = "\N{UPPER HALF BLOCK}"

Pixel = tuple[int, int, int]


class Screen:
    """A picture that is drawn in as many columns as it is told.

    Args:
        picture: [H, W, 3] uint8.
        columns: of the terminal.
    """

    def __init__(self, picture: npt.NDArray[np.uint8], columns: int) -> None:
        height, width, _ = picture.shape
        self._columns = columns
        self._rows = rows_of(columns, height, width)
        small = Image.fromarray(picture).resize((columns, 2 * self._rows), Image.Resampling.BOX)
        self._pixels = np.asarray(small)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self._columns, self._columns)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in range(self._rows):
            upper, lower = _colours(self._pixels[2 * row]), _colours(self._pixels[2 * row + 1])
            for colours, group in groupby(zip(upper, lower, strict=True)):
                yield Segment(HALF_BLOCK * sum(1 for _ in group), _style(*colours))
            yield Segment.line()


def rows_of(columns: int, height: int, width: int) -> int:
    """Return how many rows a picture of that size takes in so many columns; a cell is two pixels high."""
    return max(1, round(columns * height / width / 2))


def columns_of(rows: int, height: int, width: int) -> int:
    """Return how many columns a picture may have that is to fit into so many rows."""
    return max(1, int(2 * rows * width / height))


def _colours(row: npt.NDArray[np.uint8]) -> list[Pixel]:
    """Return [W, 3] as colours."""
    return [(int(red), int(green), int(blue)) for red, green, blue in row]


@lru_cache(maxsize=65_536)
def _style(upper: Pixel, lower: Pixel) -> Style:
    return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
