"""What judged episodes say: which states cost most, how often such states come, and what is taken for what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.judged_episode import JudgedEpisode

APART = 30
"""Control steps, two seconds: of states that lie nearer to each other in an episode, the costliest is shown alone."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True)
class Costly:
    """A state in which the student's choice costs much.

    Attributes:
        episode: that came to it.
        step: control steps since its beginning.
        cost: in the teacher's q-values.
        as_costly: steps of all episodes that cost as much or more.
    """

    episode: JudgedEpisode
    step: int
    cost: float
    as_costly: int


@dataclass(frozen=True)
class Confusion:
    """An action that the student chooses where the teacher would choose another one.

    Attributes:
        chosen: the student's, by number.
        best: the teacher's.
        steps: in which that was so.
        cost: of all of them together.
    """

    chosen: int
    best: int
    steps: int
    cost: float


@dataclass(frozen=True)
class Often:
    """How often steps of a cost come.

    Attributes:
        quantile: of the costs of all steps that cost anything, at which this cost lies.
        cost: at least.
        steps: that cost as much or more.
        share_of_cost: of all that was given away.
    """

    quantile: float
    cost: float
    steps: int
    share_of_cost: float


@dataclass(frozen=True)
class GameFindings:
    """What was found at one game.

    Attributes:
        game: ROM name.
        episodes: in the order of their numbers.
        costly: the costliest states, costliest first.
        confusions: those that cost most together first.
        often: for growing costs.
    """

    game: str
    episodes: tuple[JudgedEpisode, ...]
    costly: tuple[Costly, ...]
    confusions: tuple[Confusion, ...]
    often: tuple[Often, ...]

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return sum(len(episode.costs) for episode in self.episodes)

    @property
    def differing(self) -> int:
        """Steps in which student and teacher would choose differently."""
        return sum(int((episode.chosen != episode.best).sum()) for episode in self.episodes)

    @property
    def cost(self) -> float:
        """All that was given away."""
        return float(sum(episode.costs.sum(dtype=np.float64) for episode in self.episodes))


def find(game: str, episodes: Sequence[JudgedEpisode], most: int) -> GameFindings:
    """Return what episodes of a game say.

    Args:
        game: ROM name.
        episodes: one or more.
        most: costly states to name.
    """
    ordered = tuple(sorted(episodes, key=lambda episode: episode.number))
    costs = np.concatenate([episode.costs for episode in ordered])
    return GameFindings(
        game, ordered, tuple(_costly(ordered, np.sort(costs), most)), tuple(_confusions(ordered)), tuple(_often(costs))
    )


def _costly(episodes: Sequence[JudgedEpisode], costs: npt.NDArray[np.float32], most: int) -> list[Costly]:
    """Return the costliest states that lie apart from each other.

    Args:
        episodes: of one game.
        costs: [N], of all their steps, ascending.
        most: how many at most.
    """
    # Of each episode no more can be among them than `most` of its own costliest, each with its neighbours.
    candidates = [
        (float(episode.costs[step]), episode, int(step))
        for episode in episodes
        for step in np.argsort(-episode.costs, kind="stable")[: most * 2 * APART]
        if episode.costs[step] > 0.0
    ]
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1].number, candidate[2]))
    found: list[Costly] = []
    for cost, episode, step in candidates:
        if len(found) == most:
            break
        if all(other.episode is not episode or abs(other.step - step) >= APART for other in found):
            as_costly = len(costs) - int(np.searchsorted(costs, np.float32(cost), "left"))
            found.append(Costly(episode, step, cost, as_costly))
    return found


def _confusions(episodes: Sequence[JudgedEpisode]) -> list[Confusion]:
    chosen = np.concatenate([episode.chosen for episode in episodes])
    best = np.concatenate([episode.best for episode in episodes])
    costs = np.concatenate([episode.costs for episode in episodes]).astype(np.float64)
    pairs = sorted({(int(c), int(b)) for c, b in zip(chosen, best, strict=True) if c != b})
    found: list[Confusion] = []
    for pair in pairs:
        there = (chosen == pair[0]) & (best == pair[1])
        found.append(Confusion(*pair, int(there.sum()), float(costs[there].sum())))
    return sorted(found, key=lambda confusion: -confusion.cost)


def _often(costs: npt.NDArray[np.float32]) -> list[Often]:
    given_away = costs[costs > 0.0].astype(np.float64)
    if not len(given_away):
        return []
    found: list[Often] = []
    levels = {
        float(level): quantile for quantile, level in zip(QUANTILES, np.quantile(given_away, QUANTILES), strict=True)
    }
    for level, quantile in levels.items():
        there = given_away[given_away >= level]
        found.append(Often(quantile, level, len(there), float(there.sum() / given_away.sum())))
    return found
