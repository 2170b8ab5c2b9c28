"""Follows a file of JSON lines that another process appends to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.state.json_lines import parse_line

MOST_BYTES = 8 * 2**20
"""Read at a time, so that a request never waits for a file of gigabytes."""


class JsonTail:
    """Reads the lines that were added since the last time.

    Args:
        path: the file; it may not exist yet.
        check: of one row, which is left out if it raises what a look-up or a conversion does.
    """

    def __init__(self, path: Path, check: Callable[[Mapping[str, Any]], object] = dict) -> None:
        self._path = path
        self._check = check
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the next whole lines, none if there are none; a damaged one is left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(MOST_BYTES)
        except OSError:
            # It is not there yet, or not for this user to read.
            return []
        # A line that does not fit is no line of a run's: it is passed over, and so is its end the next time.
        whole = block if len(block) == MOST_BYTES and b"\n" not in block else block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [row for line in whole.split(b"\n") if (row := self._row(line)) is not None]

    def _row(self, line: bytes) -> dict[str, Any] | None:
        row = parse_line(line, self._checked) if line else None
        # A NaN would be no JSON for a browser.
        return json.loads(line, parse_constant=lambda _: None) if row and (b"NaN" in line or b"Inf" in line) else row

    def _checked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        self._check(row)
        return dict(row)
