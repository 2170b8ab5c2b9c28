"""Durations in buckets, beside a slow count."""

import itertools

import numpy as np
import pytest

from distill.histograms import FINE_BOUNDS, Histogram, growth, quantile, together


def test_counts_agree_with_a_slow_count():
    bounds = (0.001, 0.01, 0.1)
    values = [*bounds, *np.random.default_rng(1).lognormal(-5, 3, 500).tolist()]
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    edges = (-1.0, *bounds, float("inf"))
    slow = [sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges)]
    assert list(histogram.totals.counts) == slow
    assert histogram.totals.sum == pytest.approx(sum(values))


def test_totals_do_not_change_afterwards():
    histogram = Histogram((1.0,))
    before = histogram.totals
    histogram.observe(0.5)
    assert before.counts == (0, 0) and histogram.totals.counts == (1, 0)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
def test_a_quantile_is_that_of_the_values_to_a_tenth(share: float):
    values = np.random.default_rng(2).lognormal(-5, 1, 2000)
    histogram = Histogram(FINE_BOUNDS)
    for value in values:
        histogram.observe(value)
    found = quantile(FINE_BOUNDS, histogram.totals, share)
    assert found == pytest.approx(float(np.quantile(values, share)), rel=0.12)


def test_quantiles_where_little_is_known():
    histogram = Histogram((1.0, 2.0))
    assert quantile((1.0, 2.0), histogram.totals, 0.5) is None
    histogram.observe(5.0)
    assert quantile((1.0, 2.0), histogram.totals, 0.5) == 2.0


def test_totals_of_several_and_between_two_moments():
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.observe(0.5)
    before = one.totals
    one.observe(3.0)
    other.observe(0.25)
    assert growth(before, one.totals).counts == (0, 1)
    assert growth(before, one.totals).sum == 3.0
    assert together([one.totals, other.totals]).counts == (2, 1)
    assert together([one.totals, other.totals]).sum == 3.75
