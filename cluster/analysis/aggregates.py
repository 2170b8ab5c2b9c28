"""Aggregates over runs and games, as rliable (Agarwal et al. 2021) defines them.

Scores are matrices of [runs, games]. The interquartile mean is that of all their entries together. The probability that
X improves on Y is, for each game, P(X > Y) with ties as one half, which is Mann and Whitney's U over the number of
pairs, and then the mean over games. Intervals are 95 % percentiles of a stratified bootstrap: runs are drawn with
replacement within each game, and X's apart from Y's.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distill.errors import RunError
from distill.scores import Floats, Statistic, bootstrap_interval, interquartile_mean
from distill.statistics import Estimate


def aggregate_iqm(games: Sequence[Sequence[float]]) -> Estimate:
    """Return the interquartile mean over all scores.

    Args:
        games: the normalised scores of every game, one for each run.

    Raises:
        RunError: if there is no game, or one has no score.
    """
    _require_scores(games)

    def statistic(strata: Sequence[Floats]) -> Floats:
        return interquartile_mean(np.concatenate(strata, axis=-1))

    return Estimate(_of_sample(statistic, games), bootstrap_interval(games, statistic))


def probability_of_improvement(x: Sequence[Sequence[float]], y: Sequence[Sequence[float]]) -> Estimate:
    """Return the probability that X scores above Y at a game, averaged over games.

    Args:
        x: the scores of X at every game, one for each run; any scale that Y shares.
        y: those of Y at the same games in the same order.

    Raises:
        RunError: if there is no game, one has no score, or the games differ in number.
    """
    _require_scores([*x, *y])
    if len(x) != len(y):
        raise RunError(f"probability of improvement: X has {len(x)} games, Y {len(y)}; compare the same games")

    def statistic(strata: Sequence[Floats]) -> Floats:
        pairs = zip(strata[: len(x)], strata[len(x) :], strict=True)
        return np.mean([_above(of_x, of_y) for of_x, of_y in pairs], axis=0)

    strata = [*x, *y]
    return Estimate(_of_sample(statistic, strata), bootstrap_interval(strata, statistic))


def _above(x: Floats, y: Floats) -> Floats:
    """Return [R], P(x > y) + P(x = y) / 2 of [R, n] and [R, m]: Mann and Whitney's U over n m."""
    # In a sorted y, a value's left place counts what is below it, its right place that and what is equal to it.
    places: list[list[npt.NDArray[np.intp]]] = [
        [np.searchsorted(of_y, of_x, side) for side in ("left", "right")]
        for of_x, of_y in zip(x, np.sort(y, axis=-1), strict=True)
    ]
    return np.asarray(places, np.float64).mean(axis=(1, 2)) / y.shape[-1]


def _of_sample(statistic: Statistic, strata: Sequence[Sequence[float]]) -> float:
    return float(statistic([np.asarray(stratum, np.float64)[None] for stratum in strata])[0])


def _require_scores(games: Sequence[Sequence[float]]) -> None:
    if not games or not all(len(scores) for scores in games):
        raise RunError(f"aggregate of {len(games)} games: expected a score for each; leave out games without one")
