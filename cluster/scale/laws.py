"""Two laws of throughput over the number of actors: Amdahl's, and Gunther's universal scalability law.

Both say what N actors bring beside one of them:

    X(N) = rate * N / (1 + serial * (N - 1) + crosstalk * N * (N - 1))

`serial` is the share of the work that only one of them can do at a time. `crosstalk` is what each pair of them costs,
so that throughput has a peak and falls behind it; Amdahl's law is the one without it. With a = 1 / rate,
b = serial / rate and c = crosstalk / rate, 1 = X / N * (a + b (N - 1) + c N (N - 1)) is linear in a, b and c. These are
found by least squares of what is left, which is relative to X, with b and c not below 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from distill.scores import Floats, Interval, percentile_interval, stratified_resamples

_RIDGE = 1e-14
"""Keeps columns that are all but the same from being no matrix that can be inverted."""

Throughputs = Mapping[int, Sequence[float]]
"""Transitions per second of every repeat, by the number of actors."""


@dataclass(frozen=True)
class Law:
    """A law with its parameters.

    Attributes:
        rate: of one actor, per second.
        serial: share of the work that is serial.
        crosstalk: cost of each pair; 0 in Amdahl's law.
    """

    rate: float
    serial: float
    crosstalk: float

    def at(self, actors: float) -> float:
        """Return the throughput of so many actors, per second."""
        return self.rate * actors / (1.0 + self.serial * (actors - 1.0) + self.crosstalk * actors * (actors - 1.0))

    @property
    def most(self) -> float | None:
        """Return the throughput that no number of actors exceeds; None where there is no such limit."""
        if self.crosstalk:
            return self.at(max(1.0, ((1.0 - min(1.0, self.serial)) / self.crosstalk) ** 0.5))
        return self.rate / self.serial if self.serial else None


@dataclass(frozen=True)
class Fit:
    """A law as it was fitted.

    Attributes:
        law: the law.
        serial: 95 % interval of its serial share over repeats, None where it cannot be known.
        crosstalk: likewise.
        error: mean distance of the measured throughputs from it, as a share of these.
    """

    law: Law
    serial: Interval | None
    crosstalk: Interval | None
    error: float


def fit(measured: Throughputs, kind: Literal["amdahl", "usl"]) -> Fit | None:
    """Return the law that fits best, None if there are fewer numbers of actors than it has parameters."""
    positive = {actors: [x for x in values if x > 0.0] for actors, values in measured.items()}
    counts = [actors for actors, values in positive.items() if values]
    parameters = 2 if kind == "amdahl" else 3
    if len(counts) < parameters:
        return None
    strata = [positive[actors] for actors in counts]
    n = np.repeat(np.asarray(counts, np.float64), [len(values) for values in strata])
    x = np.concatenate([np.asarray(values, np.float64) for values in strata])
    law = Law(*(float(column[0]) for column in _solve(n, x[None], parameters)))
    misses = [abs(law.at(actors) - found) / found for actors, found in zip(n, x, strict=True)]
    serial = crosstalk = None
    if min(map(len, strata)) > 1:
        serial, crosstalk = (_interval(n, strata, parameters, place) for place in (1, 2))
    return Fit(law, serial, crosstalk, float(np.mean(misses)))


def _solve(n: Floats, x: Floats, parameters: int) -> tuple[Floats, Floats, Floats]:
    """Return [R] rates, serial shares and crosstalks that fit best.

    Args:
        n: [M] numbers of actors.
        x: [R, M] what was measured with them.
        parameters: 2 without crosstalk, 3 with it.
    """
    columns = np.stack([x / n, x * (n - 1.0) / n, x * (n - 1.0)], axis=-1)
    best, least = np.zeros((len(x), 3)), np.full(len(x), np.inf)
    # The best that has no negative part is the best one of those whose parts are all in use.
    for chosen in [(0,), (0, 1)] if parameters == 2 else [(0,), (0, 1), (0, 2), (0, 1, 2)]:
        found, left = _least_squares(columns[..., chosen])
        better = (found[:, 0] > 0.0) & (found[:, 1:] >= 0.0).all(axis=1) & (left < least)
        least[better] = left[better]
        best[better] = 0.0
        for column, part in zip(chosen, found.T, strict=True):
            best[better, column] = part[better]
    rates = 1.0 / best[:, 0]
    return rates, best[:, 1] * rates, best[:, 2] * rates


def _least_squares(columns: Floats) -> tuple[Floats, Floats]:
    """Return [R, K] factors with which [R, M, K] columns come closest to 1, and [R] the sums of the squares left."""
    # Columns of like length: their products would differ by many powers of ten.
    lengths = np.linalg.norm(columns, axis=1)
    scaled = columns / lengths[:, None, :]
    products = np.swapaxes(scaled, 1, 2) @ scaled + _RIDGE * np.eye(columns.shape[-1])
    factors = cast(Floats, np.linalg.solve(products, scaled.sum(axis=1)[..., None]))[..., 0]
    left = np.square((scaled @ factors[..., None])[..., 0] - 1.0).sum(axis=1)
    return factors / lengths, left


def _interval(n: Floats, strata: Sequence[Sequence[float]], parameters: int, place: int) -> Interval | None:
    def statistic(drawn: Sequence[Floats]) -> Floats:
        return _solve(n, np.concatenate(list(drawn), axis=1), parameters)[place]

    return percentile_interval(stratified_resamples(strata, statistic))
