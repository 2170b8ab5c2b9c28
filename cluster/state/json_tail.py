"""Follows a file of JSON lines that another process appends to."""

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 8 * 2**20
"""Read at a time, so that a request never waits for a file of gigabytes."""


class JsonTail:
    """Reads the lines that were added since the last time.

    Args:
        path: the file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the next whole lines, none if there are none; a line that is no JSON object is left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(MOST_BYTES)
        except FileNotFoundError:
            return []
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        rows: list[dict[str, Any]] = []
        for line in whole.splitlines():
            try:
                # A NaN would be no JSON for a browser.
                row: Any = json.loads(line, parse_constant=lambda _: None)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows
