"""Durations in buckets, beside a slow count."""

import itertools

import numpy as np
import pytest

from distill.histograms import Histogram


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
