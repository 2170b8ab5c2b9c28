"""Statistics of an experiment: several trainings of each kind, told apart by their seeds, with several episodes each.

A student's score varies from training to training, and each training's from episode to episode. So intervals come of a
bootstrap on both levels: every resample draws as many seeds as there were, with replacement, within each stratum (the
students of one kind at one game, their teacher at it, and so on), and of its episodes as many as there were.
Seeds count alike, however many episodes they played.

What is over runs alone, as rliable has it, is in `cluster.analysis.aggregates`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from distill.errors import RunError
from distill.scores import (
    RESAMPLES,
    Floats,
    GeometricMean,
    Interval,
    Ratio,
    Statistic,
    baseline_of,
    geometric_mean,
    percentile_interval,
    ratios_of_means,
    score_ratio,
)

Seeds = Sequence[Sequence[float]]
"""Raw scores of every episode of every training seed."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its uncertainty.

    Attributes:
        value: of the sample.
        interval: 95 % bootstrap interval, None if it cannot be known.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Pair:
    """A student and its teacher at one game.

    Attributes:
        game: ROM name.
        student: its scores.
        teacher: the teacher's; every seed of an evaluation counts as one.
    """

    game: str
    student: Seeds
    teacher: Seeds


def nested_resamples(
    strata: Sequence[Seeds], statistic: Statistic, *, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """Return [R] float64: the statistic of R = `resamples` resamples of seeds, and of episodes within these.

    Args:
        strata: S seeds each, with the scores of their episodes.
        statistic: takes one [R, S] array per stratum, the mean scores of the drawn seeds, and returns [R].
        seed: of the draws.
        resamples: R.

    Raises:
        RunError: if a stratum has no seed, or a seed no episode.
    """
    require_episodes(strata)
    generator = np.random.default_rng(seed)
    return statistic([_resampled_means(stratum, generator, resamples) for stratum in strata])


def nested_estimate(strata: Sequence[Seeds], statistic: Statistic) -> Estimate:
    """Return a statistic of seeds' mean scores with its 95 % interval over seeds and episodes; see `nested_resamples`.

    A stratum of one seed lends the interval the luck of its episodes alone; one of a single episode has no interval.

    Raises:
        RunError: if a stratum has no seed, or a seed no episode.
    """
    require_episodes(strata)
    value = float(statistic([_means(stratum) for stratum in strata])[0])
    if any(sum(map(len, stratum)) < 2 for stratum in strata):
        return Estimate(value, None)
    return Estimate(value, percentile_interval(nested_resamples(strata, statistic)))


def mean_over_seeds(stratum: Seeds) -> Estimate:
    """Return the mean of the seeds' mean scores with its interval. Raises RunError if there is none."""
    return nested_estimate([stratum], lambda drawn: drawn[0].mean(axis=-1))


def ratio_over_seeds(pair: Pair) -> Ratio:
    """Return how a student's mean score over seeds compares with its teacher's, with an interval over both.

    Raises:
        RunError: if a stratum has no seed, or a seed no episode.
    """
    student, teacher = mean_over_seeds(pair.student).value, mean_over_seeds(pair.teacher).value
    ratio = score_ratio(pair.game, student, teacher)
    if ratio.value is None:
        return ratio
    baseline, _ = baseline_of(pair.game, teacher)
    found = nested_estimate([pair.student, pair.teacher], lambda drawn: ratios_of_means(drawn[0], drawn[1], baseline))
    reason = None if found.interval else f"{pair.game}: too few episodes, or a teacher too near random play"
    return Ratio(ratio.value, ratio.scale, ratio.raw, found.interval, reason)


def geometric_mean_over_seeds(pairs: Sequence[Pair]) -> GeometricMean:
    """Return the geometric mean of the games' ratios; negative resampled ratios count as 0 in its interval.

    Raises:
        RunError: if a stratum has no seed, or a seed no episode.
    """
    ratios = [(pair, ratio_over_seeds(pair)) for pair in pairs]
    valid = [(pair, ratio.value) for pair, ratio in ratios if ratio.value is not None]
    left_out = tuple(pair.game for pair, ratio in ratios if ratio.value is None)
    value = geometric_mean([ratio for _, ratio in valid])
    if value is None:
        negative = ", ".join(pair.game for pair, ratio in valid if ratio < 0.0)
        reason = f"below random play: {negative}" if negative else "no game has a ratio"
        return GeometricMean(None, None, len(valid), left_out, reason)
    strata = [scores for pair, _ in valid for scores in (pair.student, pair.teacher)]
    baselines = _baselines([pair for pair, _ in valid])

    def statistic(drawn: Sequence[Floats]) -> Floats:
        return np.exp(_mean_logarithm(drawn[::2], drawn[1::2], baselines))

    return GeometricMean(value, nested_estimate(strata, statistic).interval, len(valid), left_out)


def ratios_together(pairs: Sequence[Pair], statistic: Callable[[Floats], Floats]) -> Estimate | None:
    """Return a statistic of all ratios, one for each seed of each game, such as their mean or interquartile mean.

    Args:
        pairs: students and teachers.
        statistic: of [R, ratios] over the last axis.

    Returns:
        None if there is no game, or a teacher gives no scale.

    Raises:
        RunError: if a stratum has no seed, or a seed no episode.
    """
    if not pairs or any(ratio_over_seeds(pair).value is None for pair in pairs):
        return None
    baselines = _baselines(pairs)

    def together(drawn: Sequence[Floats]) -> Floats:
        triples = zip(drawn[::2], drawn[1::2], baselines, strict=True)
        ratios = [ratios_of_means(s[..., None], t[:, None, :], baseline) for s, t, baseline in triples]
        return statistic(np.concatenate(ratios, axis=-1))

    return nested_estimate([scores for pair in pairs for scores in (pair.student, pair.teacher)], together)


def advantage(x: Sequence[Pair], y: Sequence[Pair]) -> Estimate | None:
    """Return how many times the geometric mean of X's ratios is that of Y's, with an interval over seeds and episodes.

    Args:
        x: students of one kind at some games.
        y: students of another kind at the same games in the same order, of the same teachers, which are drawn once.

    Returns:
        None if there is no game, or a geometric mean does not exist or is 0.

    Raises:
        RunError: if the games differ.
    """
    if [pair.game for pair in x] != [pair.game for pair in y]:
        raise RunError("advantage: X and Y were played at different games; compare the same games")
    means = geometric_mean_over_seeds(x).value, geometric_mean_over_seeds(y).value
    if not all(means) or any(ratio_over_seeds(pair).value is None for pair in x):
        return None
    strata = [scores for a, b in zip(x, y, strict=True) for scores in (a.student, b.student, a.teacher)]
    baselines = _baselines(x)

    def statistic(drawn: Sequence[Floats]) -> Floats:
        of_x, of_y = (_mean_logarithm(drawn[k::3], drawn[2::3], baselines) for k in (0, 1))
        with np.errstate(invalid="ignore"):
            return np.exp(of_x - of_y)

    return nested_estimate(strata, statistic)


def difference(x: Seeds, y: Seeds) -> Estimate:
    """Return the mean over X's seeds minus that over Y's, with an interval. Raises RunError if one of them is empty."""
    return nested_estimate([x, y], lambda drawn: drawn[0].mean(axis=-1) - drawn[1].mean(axis=-1))


def welch_test(x: Seeds, y: Seeds) -> float | None:
    """Return the two-sided p-value of Welch's t-test that X's and Y's seeds have the same mean score.

    A seed is one observation: its episodes are of one network, and say nothing of the next training.

    Returns:
        None where one of them has a single seed, or all seeds of both score the same, so that no spread is known.
    """
    from scipy import stats  # noqa: PLC0415 - its import takes half a second, and most commands need none of it

    of_x, of_y = ([float(np.mean(episodes)) for episodes in seeds] for seeds in (x, y))
    if min(len(of_x), len(of_y)) < 2 or (np.var(of_x) == 0.0 and np.var(of_y) == 0.0):
        return None
    return float(stats.ttest_ind(of_x, of_y, equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's step-down method, in the same order."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def require_episodes(strata: Sequence[Seeds]) -> None:
    """Raise RunError if there is no stratum, a stratum has no seed, or a seed no episode."""
    if not strata or not all(strata) or not all(len(episodes) for stratum in strata for episodes in stratum):
        raise RunError(
            f"statistics of {len(strata)} strata: expected a seed in each, and an episode of each seed; play more"
        )


def _means(stratum: Seeds) -> Floats:
    """Return [1, S], the mean scores of the seeds."""
    return np.array([[float(np.mean(episodes)) for episodes in stratum]])


def _resampled_means(stratum: Seeds, generator: np.random.Generator, resamples: int) -> Floats:
    """Return [R, S], the mean scores of resampled episodes of S seeds drawn with replacement."""
    size = (resamples, len(stratum))
    drawn = generator.integers(0, len(stratum), size)
    means = np.empty(size)
    for index, episodes in enumerate(stratum):
        here = drawn == index
        scores = np.asarray(episodes, np.float64)
        picks = generator.integers(0, scores.size, (int(here.sum()), scores.size))
        means[here] = scores[picks].mean(axis=-1)
    return means


def _baselines(pairs: Sequence[Pair]) -> list[float]:
    return [baseline_of(pair.game, mean_over_seeds(pair.teacher).value)[0] for pair in pairs]


def _mean_logarithm(students: Sequence[Floats], teachers: Sequence[Floats], baselines: Sequence[float]) -> Floats:
    """Return [R], the logarithm of the ratios' geometric mean, of each game's [R, S] students and [R, T] teachers."""
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0 is -inf, and -inf plus infinity is not a number
        triples = zip(students, teachers, baselines, strict=True)
        return np.mean([np.log(np.maximum(ratios_of_means(s, t, baseline), 0.0)) for s, t, baseline in triples], axis=0)
