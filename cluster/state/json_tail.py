"""Follows a file of JSON lines that another process appends to."""

import json
from pathlib import Path
from typing import Any

from cluster.state.line_tail import LineTail


class JsonTail:
    """Reads the objects that were added since the last time.

    Args:
        path: the file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineTail(path)

    def read(self) -> list[dict[str, Any]]:
        """Return the objects of the next whole lines, none if there are none; a line without one is left out."""
        rows: list[dict[str, Any]] = []
        for line in self._lines.read():
            try:
                # A NaN would be no JSON for a browser.
                row: Any = json.loads(line, parse_constant=lambda _: None)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows
