"""Follows a file of lines that another process appends to."""

from pathlib import Path

MOST_BYTES = 8 * 2**20
"""Read at a time, so that a request never waits for a file of gigabytes."""


class LineTail:
    """Reads the lines that were added since the last time.

    Args:
        path: the file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[bytes]:
        """Return the next whole lines, none if there are none."""
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
        return whole.split(b"\n")[:-1]
