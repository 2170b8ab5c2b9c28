"""A lineage: the versions of one network, oldest first, of which one at a time is the best."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Lineage:
    """Models whose versions are candidates for promotion.

    Attributes:
        name: of the lineage in the registry.
        games: that they play.
        who: `candidate` for a Q-learner's, which are to become teachers; `student` for a student's.
        names: what a promotion points at the version.
        leads: whether the run ends once this lineage's learner has spent its budget.
    """

    name: str
    games: tuple[str, ...]
    who: Literal["candidate", "student"]
    names: tuple[str, ...]
    leads: bool = True

    @property
    def player(self) -> str:
        """What its best version is at the end of a run: a `teacher` or a `student`."""
        return "teacher" if self.who == "candidate" else "student"
