"""Rows that must not be lost: what the disk refuses is owed, and written before the next one."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from cluster.state.folder import RunFolder
from cluster.state.unwritten import Unwritten
from distill.errors import RunError

MOST_OWED = 10_000
"""Rows in memory; days of evaluations."""


class OwedRows:
    """Appends rows to a file of a run, in their order.

    Args:
        folder: the run's.
        file: its name.
        unwritten: counts what is refused.
        kind: under which it is counted.
    """

    def __init__(self, folder: RunFolder, file: str, unwritten: Unwritten, kind: str) -> None:
        self._folder = folder
        self._file = file
        self._unwritten = unwritten
        self._kind = kind
        self._owed = deque[Mapping[str, Any]]()

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row, now or later. Raises RunError if too many are owed."""
        self._owed.append(row)
        if self.pay() > MOST_OWED:
            self.require_paid()

    def pay(self) -> int:
        """Write what is owed, as far as the disk takes it; return how many rows are left."""
        paid = True
        while self._owed and paid:
            paid = False
            with self._unwritten.outlived(self._kind):
                self._folder.append(self._file, self._owed[0])
                self._owed.popleft()
                paid = True
        return len(self._owed)

    def require_paid(self) -> None:
        """Write what is owed. Raises RunError if that is still refused."""
        if left := self.pay():
            raise RunError(
                f"run {self._folder.name}: {left} rows of {self._folder.path / self._file} cannot be written and are"
                " lost; make room on that disk, and they are played again"
            )
