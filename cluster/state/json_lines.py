"""Files of one JSON object a line, which survive the crash of whoever writes them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row; half a line that a crash or a full disk has left before it is ended, and swallows nothing.

    Raises:
        OSError: if the disk refuses.
    """
    line = json.dumps(row).encode() + b"\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)


def read_lines(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> tuple[list[T], int]:
    """Return what the lines of a file say, and how many could not be understood; none if it is absent.

    Args:
        path: the file.
        parse: of one row, which is left out if it raises what a look-up or a conversion does.

    Raises:
        OSError: if the file is there and cannot be read.
    """
    rows: list[T] = []
    damaged = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return rows, damaged
    with file:
        for line in file:
            row = parse_line(line, parse)
            if row is None:
                damaged += 1
            else:
                rows.append(row)
    return rows, damaged


def parse_line(line: bytes, parse: Callable[[Mapping[str, Any]], T]) -> T | None:
    """Return what `parse` makes of a line, None if it is damaged, as any line of a stranger's may be."""
    try:
        value: Any = json.loads(line)
        if not isinstance(value, dict):
            return None
        return parse(cast(dict[str, Any], value))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
