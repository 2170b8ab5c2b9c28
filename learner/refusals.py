"""Checkpoints that the disk refuses: they are counted and tried again, and training goes on for a while."""

import time
from dataclasses import dataclass, field

REFUSED_SECONDS = 3600.0
"""How long training goes on while no checkpoint can be written: time enough to make room, without losing more."""


@dataclass
class Refusals:
    """What the disk has refused of a learner since its process began.

    Attributes:
        count: refused tries.
        newest: why the newest one was refused; empty once a try has gone well.
    """

    count: int = 0
    newest: str = ""
    _since: float = field(default=0.0, repr=False)

    def refused(self, why: str) -> None:
        """Count a refused try."""
        if not self.newest:
            self._since = time.monotonic()
        self.count += 1
        self.newest = why

    def written(self) -> None:
        """Note that a try went well."""
        self.newest = ""

    @property
    def seconds(self) -> float:
        """How long every try has been refused."""
        return time.monotonic() - self._since if self.newest else 0.0
