"""Follows a file of JSON lines that another process appends to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.state.json_lines import parse_line
from cluster.state.line_tail import LineTail


class JsonTail:
    """Reads the objects that were added since the last time.

    Args:
        path: the file; it may not exist yet.
        check: of one row, which is left out if it raises what a look-up or a conversion does.
    """

    def __init__(self, path: Path, check: Callable[[Mapping[str, Any]], object] = dict) -> None:
        self._lines = LineTail(path)
        self._check = check

    def read(self) -> list[dict[str, Any]]:
        """Return the objects of the next whole lines, none if there are none; a damaged line is left out."""
        return [row for line in self._lines.read() if (row := self._row(line)) is not None]

    def _row(self, line: bytes) -> dict[str, Any] | None:
        row = parse_line(line, self._checked)
        # A NaN would be no JSON for a browser.
        return json.loads(line, parse_constant=lambda _: None) if row and (b"NaN" in line or b"Inf" in line) else row

    def _checked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        self._check(row)
        return dict(row)
