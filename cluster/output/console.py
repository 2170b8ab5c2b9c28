"""The console that everything is printed on: strings are literal, colours and control codes go to terminals alone."""

import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cluster.output.literal import literal

PLAIN_WIDTH = 140
"""Without a terminal there is no width to keep to, and a table in a log should not be folded."""


class LiteralConsole(Console):
    """Prints on standard output; a `str`, wherever it stands in what is printed, is one line of literal text.

    So a user's words can be in titles, cells and lines without a thought, and lines are made by printing or grouping
    several strings. Texts that others make, such as log lines, keep their line ends; nothing else in them steers.
    Rich decides what colours there are (NO_COLOR, FORCE_COLOR, TTY_COMPATIBLE, TERM).
    """

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)
        if not sys.stdout.isatty():
            # FORCE_COLOR wants colours in a file or pipe, not a table that is drawn over itself.
            self.is_interactive &= os.environ.get("TTY_INTERACTIVE") == "1"
            if not os.environ.get("COLUMNS", "").lstrip("0").isdecimal():
                self.width = PLAIN_WIDTH
        elif self.width == 0:
            # Rich takes COLUMNS=0 at its word; elsewhere it means that the width is not known.
            self.width = shutil.get_terminal_size().columns

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text, as it is: neither markup nor emoji codes, and what cannot be shown written out."""
        shown = literal(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
        options |= {"markup": False, "emoji": False}
        return super().render_str(shown, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, and write out what would steer a terminal but is not a control code of rich's own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(literal(segment.text, keep="\n"), segment.style)

    def on_broken_pipe(self) -> None:
        """Leave a pipe that nobody reads to who called, where rich would end the process."""
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError
