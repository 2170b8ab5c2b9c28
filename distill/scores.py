"""Statistics of episode scores: mean, IQM, bootstrap intervals, human-normalised scores and ratios to the teacher.

Intervals are percentiles of a stratified bootstrap: every resample draws as many episodes as there were, with
replacement, within each stratum (the student's episodes of one game, the teacher's of it, and so on), and computes the
statistic anew.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from distill.errors import RunError
from distill.games import reference_score

LEVEL = 0.95
RESAMPLES = 2000
MINIMUM_EPISODES = 2
"""One episode says nothing about the spread of the next, so an interval needs two."""
_BLOCK_VALUES = 2_000_000

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]
Statistic = Callable[[Sequence[Floats]], Floats]
"""Takes one [R, n] array per stratum and returns [R], one value per resample."""


def mean(scores: Floats) -> Floats:
    """Return the mean over the last axis of [..., n]."""
    return scores.mean(axis=-1)


def interquartile_mean(scores: Floats) -> Floats:
    """Return the mean over the last axis of [..., n] without the lowest and highest quarter, as rliable computes it."""
    # As scipy.stats.trim_mean does it, whose import takes every process a second.
    count = scores.shape[-1]
    cut = count // 4
    return np.partition(scores, (cut, count - cut - 1), axis=-1)[..., cut : count - cut].mean(axis=-1)


def stratified_resamples(
    strata: Sequence[Sequence[float]], statistic: Statistic, *, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """Return [R] float64: the statistic of R = `resamples` bootstrap resamples, episodes drawn within each stratum.

    Raises:
        RunError: if a stratum has no episode.
    """
    arrays = [np.asarray(stratum, np.float64) for stratum in strata]
    if not arrays or any(array.size == 0 for array in arrays):
        raise RunError(f"bootstrap of {len(arrays)} strata: expected at least one episode in each; play more episodes")
    generator = np.random.default_rng(seed)
    # Blocks bound the memory when there are very many episodes.
    block = max(1, _BLOCK_VALUES // sum(array.size for array in arrays))
    values: list[Floats] = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        values.append(statistic([a[generator.integers(0, a.size, (rows, a.size))] for a in arrays]))
    return np.concatenate(values)


def bootstrap_interval(
    strata: Sequence[Sequence[float]],
    statistic: Statistic,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval | None:
    """Return the percentile interval of a statistic.

    Returns:
        (low, high), or None where it cannot be known: a stratum has one episode, or resamples have no finite statistic.

    Raises:
        RunError: if a stratum has no episode.
    """
    values = stratified_resamples(strata, statistic, seed=seed, resamples=resamples)
    return None if min(map(len, strata)) < MINIMUM_EPISODES else percentile_interval(values, level)


def percentile_interval(values: Floats, level: float = LEVEL) -> Interval | None:
    """Return the interval that holds the middle `level` of [R] resamples, None if some of them have no finite value."""
    if np.isnan(values).any():
        return None
    # Percentiles are order statistics, never interpolated, because between a number and infinity there is nothing.
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail], method="closest_observation")
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def mean_interval(scores: Sequence[float], *, seed: int = 0) -> Interval | None:
    """Return the 95 % interval of the mean score of one player at one game; see `bootstrap_interval`."""
    return bootstrap_interval([scores], lambda strata: mean(strata[0]), seed=seed)


def human_normalised(game: str, score: float) -> float | None:
    """Return (score - random) / (human - random), or None for a game without reference scores."""
    reference = reference_score(game)
    return None if reference is None else (score - reference.random) / (reference.human - reference.random)


@dataclass(frozen=True)
class GameScore:
    """What one version of one player scored at one game, raw rewards summed over an episode.

    Attributes:
        game: ROM name.
        who: `teacher`, `student`, or another name of the player.
        version: the version that played.
        episodes: number of whole episodes.
        mean: of the scores.
        standard_deviation: of the scores, with n - 1; 0 for one episode.
        iqm: interquartile mean.
        interval: 95 % bootstrap interval of the mean, None for one episode.
        human_normalised: of the mean, None for a game without reference scores.
        scores: of every episode.
    """

    game: str
    who: str
    version: int
    episodes: int
    mean: float
    standard_deviation: float
    iqm: float
    interval: Interval | None
    human_normalised: float | None
    scores: tuple[float, ...]

    @classmethod
    def of(cls, game: str, who: str, version: int, scores: Sequence[float]) -> "GameScore":
        """Compute the statistics of the scores.

        Raises:
            RunError: if there are none, or one is not finite.
        """
        array = np.asarray(scores, np.float64)
        if array.size == 0 or not np.isfinite(array).all():
            raise RunError(f"scores of {who} at {game}: expected one finite number or more, found {list(scores)[:8]}")
        average = float(mean(array))
        return cls(
            game=game,
            who=who,
            version=version,
            episodes=array.size,
            mean=average,
            standard_deviation=float(array.std(ddof=1)) if array.size > 1 else 0.0,
            iqm=float(interquartile_mean(array)),
            interval=mean_interval(scores),
            human_normalised=human_normalised(game, average),
            scores=tuple(float(score) for score in scores),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the score as plain JSON values."""
        return {
            name: list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GameScore":
        """Return the score that `to_json` wrote.

        Raises:
            RunError: if fields are missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            raise RunError(f"stored score: expected the fields {sorted(names)}, found {sorted(data)}")
        values, interval = dict(data), cast(Sequence[float] | None, data["interval"])
        values["interval"] = None if interval is None else (float(interval[0]), float(interval[1]))
        values["scores"] = tuple(float(score) for score in data["scores"])
        return cls(**values)


@dataclass(frozen=True)
class Ratio:
    """How a student's mean score compares with its teacher's at one game.

    Attributes:
        value: student / teacher, or both above the random score, as `scale` says; None if the teacher gives no scale.
        scale: `raw`, or `above_random` where the random score is below 0 or not below the teacher's.
        raw: student / teacher as the paper divides them, None where the teacher's mean is not positive.
        interval: 95 % bootstrap interval of `value` over the episodes of both, None if it cannot be known.
        reason: why `value` or `interval` is None, else None.
    """

    value: float | None
    scale: Literal["raw", "above_random"]
    raw: float | None
    interval: Interval | None = None
    reason: str | None = None


def score_ratio(game: str, student: float, teacher: float) -> Ratio:
    """Compare mean scores, without an interval.

    The ratio is student / teacher where the random score is at least 0 and the teacher's is above it, otherwise
    (student - random) / (teacher - random). A teacher that does not beat random play gives no scale: the value is None.
    A game without reference scores counts as one whose random score is 0.
    """
    baseline, scale = baseline_of(game, teacher)
    raw = student / teacher if teacher > 0.0 else None
    if teacher > baseline:
        return Ratio((student - baseline) / (teacher - baseline), scale, raw)
    source = "random play's" if reference_score(game) else "0, as no random score is known, not"
    return Ratio(None, scale, raw, reason=f"{game}: the teacher's {teacher:.1f} is not above {source} {baseline:.1f}")


def baseline_of(game: str, teacher: float) -> tuple[float, Literal["raw", "above_random"]]:
    """Return the score that counts as nothing beside a teacher's mean, and the scale that it makes of ratios."""
    reference = reference_score(game)
    if reference is None or (reference.random >= 0.0 and teacher > reference.random):
        return 0.0, "raw"
    return reference.random, "above_random"


@dataclass(frozen=True)
class Comparison:
    """Student and teacher at one game."""

    student: GameScore
    teacher: GameScore
    ratio: Ratio

    @property
    def game(self) -> str:
        """The game that both played."""
        return self.student.game


def compare(student: GameScore, teacher: GameScore) -> Comparison:
    """Compare a student with its teacher, with an interval over the episodes of both.

    Raises:
        RunError: if they played different games.
    """
    if student.game != teacher.game:
        raise RunError(f"ratio: the student played {student.game}, the teacher {teacher.game}; compare the same game")
    ratio = score_ratio(student.game, student.mean, teacher.mean)
    if ratio.value is None:
        return Comparison(student, teacher, ratio)
    baseline, _ = baseline_of(student.game, teacher.mean)
    interval = bootstrap_interval(
        [student.scores, teacher.scores], lambda strata: ratios_of_means(strata[0], strata[1], baseline)
    )
    reason = (
        None if interval else f"{student.game}: too few episodes, or a teacher too near random play, for an interval"
    )
    return Comparison(student, teacher, Ratio(ratio.value, ratio.scale, ratio.raw, interval, reason))


def ratios_of_means(student: Floats, teacher: Floats, baseline: float) -> Floats:
    """Return [R] ratios of the means of [R, n] and [R, m]; infinite where the teacher is not above the baseline."""
    gain, scale = mean(student) - baseline, mean(teacher) - baseline
    safe = np.where(scale > 0.0, scale, 1.0)
    return np.where(scale > 0.0, gain / safe, np.copysign(np.inf, gain))


def geometric_mean(ratios: Sequence[float]) -> float | None:
    """Return the geometric mean, 0 if a ratio is 0, or None if there is no ratio or one is negative."""
    if not ratios or min(ratios) < 0.0:
        return None
    return 0.0 if min(ratios) == 0.0 else math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


@dataclass(frozen=True)
class GeometricMean:
    """Geometric mean of the ratios of several games.

    Attributes:
        value: over the games that have a ratio; None if one of these is negative or none has one.
        interval: 95 % interval, episodes resampled within each game and player; None if it cannot be known.
        games: number of games that have a ratio.
        left_out: the games that have none.
        reason: why `value` is None, else None.
    """

    value: float | None
    interval: Interval | None
    games: int
    left_out: tuple[str, ...]
    reason: str | None = None


def summarise(comparisons: Sequence[Comparison]) -> GeometricMean:
    """Return the geometric mean of the games' ratios; negative resampled ratios count as 0 in its interval."""
    valid = [(c, c.ratio.value) for c in comparisons if c.ratio.value is not None]
    left_out = tuple(c.game for c in comparisons if c.ratio.value is None)
    value = geometric_mean([ratio for _, ratio in valid])
    if value is None:
        negative = ", ".join(c.game for c, ratio in valid if ratio < 0.0)
        reason = f"below random play: {negative}" if negative else "no game has a ratio"
        return GeometricMean(None, None, len(valid), left_out, reason)
    baselines = [baseline_of(c.game, c.teacher.mean)[0] for c, _ in valid]

    def statistic(strata: Sequence[Floats]) -> Floats:
        pairs = zip(strata[::2], strata[1::2], baselines, strict=True)
        with np.errstate(divide="ignore", invalid="ignore"):  # log 0 is -inf, and 0 times infinity is not a number
            logs = [np.log(np.maximum(ratios_of_means(s, t, baseline), 0.0)) for s, t, baseline in pairs]
            return np.exp(np.mean(logs, axis=0))

    strata = [scores for c, _ in valid for scores in (c.student.scores, c.teacher.scores)]
    return GeometricMean(value, bootstrap_interval(strata, statistic), len(valid), left_out)
