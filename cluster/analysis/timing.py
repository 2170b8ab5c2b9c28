"""Where the seconds of a run went: those of its collecting actors, of its learners and of its evaluations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cluster.analysis.run_data import RunData
from cluster.state.rows import CollectorPoint, LearnerPoint

COLLECTOR_PARTS = ("inference", "environment", "push", "wait")
LEARNER_PARTS = ("updates", "waiting for data")


@dataclass(frozen=True)
class Collected:
    """What the collecting actors of a game did in the whole run.

    Attributes:
        game: that they played.
        actors: how many there were.
        transitions: collected.
        episodes: ended.
        seconds: of all actors together, by what they were spent on.
    """

    game: str
    actors: int
    transitions: int
    episodes: int
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of all actors together."""
        return math.fsum(self.seconds.values())


@dataclass(frozen=True)
class Learned:
    """What a learner did in the whole run.

    Attributes:
        lineage: its models.
        updates: made.
        seconds: of training, by what they were spent on.
        insert_wait_seconds: time its feed, a thread of its own, waited for the learner to sample more.
        transitions: inserted into its replay.
        nonfinite: updates skipped.
        rejected: chunks refused since its process began.
    """

    lineage: str
    updates: int
    seconds: dict[str, float]
    insert_wait_seconds: float
    transitions: int
    nonfinite: int
    rejected: int

    @property
    def total(self) -> float:
        """Seconds of training."""
        return math.fsum(self.seconds.values())


def collected(run: RunData) -> list[Collected]:
    """Return by game what a run's collecting actors did, in the order of its games."""
    actors = [_whole(points) for points in run.collectors().values()]
    found: list[Collected] = []
    for game in dict.fromkeys([*run.games, *(actor.game for actor in actors)]):
        mine = [actor for actor in actors if actor.game == game]
        if mine:
            parts = dict.fromkeys(part for actor in mine for part in actor.seconds)
            seconds = {part: math.fsum(actor.seconds.get(part, 0.0) for actor in mine) for part in parts}
            transitions, episodes = sum(actor.transitions for actor in mine), sum(actor.episodes for actor in mine)
            found.append(Collected(game, len(mine), transitions, episodes, seconds))
    return found


def learned(run: RunData) -> list[Learned]:
    """Return by lineage what a run's learners did."""
    return [_learned(lineage, points[-1]) for lineage in run.lineages if (points := run.learner(lineage))]


def _learned(lineage: str, last: LearnerPoint) -> Learned:
    waited = min(last.sample_wait_seconds, last.seconds)
    return Learned(
        lineage,
        last.updates,
        dict(zip(LEARNER_PARTS, (last.seconds - waited, waited), strict=True)),
        last.insert_wait_seconds,
        sum(last.inserted.values()),
        last.nonfinite,
        last.rejected,
    )


def _whole(points: Sequence[CollectorPoint]) -> CollectorPoint:
    """Return what an actor did in all its processes: its counts begin at 0 again whenever it is replaced."""
    ends = [before for before, after in pairwise(points) if _total(after) < _total(before)]
    ends.append(points[-1])
    parts = dict.fromkeys(part for end in ends for part in end.seconds)
    return CollectorPoint(
        points[-1].game,
        sum(end.transitions for end in ends),
        sum(end.episodes for end in ends),
        {part: math.fsum(end.seconds.get(part, 0.0) for end in ends) for part in parts},
    )


def _total(point: CollectorPoint) -> float:
    return math.fsum(point.seconds.values())
