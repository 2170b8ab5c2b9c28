"""A slope is found where there is one, and not where there is only noise."""

import numpy as np
import pytest

from tests.chaos.soak import fit

SECONDS = np.arange(0.0, 1500.0, 5.0)


def fitted(gain: float, *, allowance: float = 0.0, seed: int = 0):
    noise = np.random.default_rng(seed).normal(scale=2.0, size=len(SECONDS))
    values = 300.0 + gain * SECONDS / 3600.0 + noise
    return fit("learner", "memory", list(zip(SECONDS, values, strict=True)), allowance)


@pytest.mark.parametrize("gain, rises", [(0.0, False), (100.0, True), (-100.0, False)])
def test_what_grows_is_found(gain: float, rises: bool):
    slope = fitted(gain)
    assert slope.rises == rises
    assert slope.low <= gain <= slope.high
    assert slope.mean == pytest.approx(300.0 + gain * 750.0 / 3600.0, abs=1.0)


def test_a_little_is_allowed_for():
    assert not fitted(20.0, allowance=0.1).rises
    assert fitted(100.0, allowance=0.1).rises


def test_noise_is_rarely_taken_for_growth():
    assert sum(fitted(0.0, seed=seed).rises for seed in range(200)) < 20


def test_what_does_not_change_has_no_slope():
    slope = fit("learner", "threads", [(second, 7.0) for second in SECONDS])
    assert (slope.slope, slope.low, slope.high, slope.rises) == (0.0, 0.0, 0.0, False)
