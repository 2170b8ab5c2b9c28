"""What tyro prints, help and refusals: in a width that it can fill, coloured where colours are wanted, and literal."""

import codecs
import contextlib
import io
import os
import re
import shutil
import sys
from collections.abc import Generator
from typing import TextIO

from rich.console import Console

from cluster.output.literal import literal

NARROWEST = 40
"""Columns. In one or two tyro never ends, and below this many it leaves texts a word a line; terminals fold instead."""
_STYLE = re.compile(r"(\x1b\[(?:(?:[0-2]|[39]\d)(?:;|(?=m)))*m)")
"""Bold, dim, colours and their end: all that tyro uses."""


@contextlib.contextmanager
def help_output() -> Generator[None]:
    """Let tyro print on both standard streams."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(max(NARROWEST, shutil.get_terminal_size().columns))
    try:
        with contextlib.redirect_stdout(_Shown(sys.stdout)), contextlib.redirect_stderr(_Shown(sys.stderr)):
            yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


class _Shown(io.TextIOBase):
    """A stream on which only styles are not literal, and these only where rich would print colours.

    tyro asks standard output alone whether there are colours, for standard error too, and does not know NO_COLOR.
    """

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream)
        self._stream = stream
        self._coloured = console.color_system is not None and not console.no_color

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a plain attribute in the stubs
        """The stream's, by the one name for it that tyro compares with."""
        return codecs.lookup(self._stream.encoding or "utf-8").name

    def isatty(self) -> bool:
        """Let all styles come."""
        return True

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write text and, where wanted, its styles."""
        for index, part in enumerate(_STYLE.split(text)):
            if index % 2 == 0:
                self._stream.write(literal(part, keep="\n\t"))
            elif self._coloured:
                self._stream.write(part)
        return len(text)
