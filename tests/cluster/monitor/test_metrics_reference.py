"""The definitions keep to the conventions, and docs/metrics.md is what they say."""

import re
from pathlib import Path

import pytest

from cluster.monitor.metrics.definitions import HISTOGRAMS, LABELS, METRICS, PREFIX, Metric
from cluster.monitor.metrics.reference import reference

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == reference(), "run: python -m cluster.monitor.metrics.reference > docs/metrics.md"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_and_labels_keep_to_the_conventions(metric: Metric):
    assert re.fullmatch(PREFIX + r"[a-z][a-z_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert set(metric.labels) <= set(LABELS)
    assert metric.help.endswith(".")
    if metric.unit in ("seconds", "bytes", "ratio"):
        assert metric.name.removesuffix("_total").endswith("_" + metric.unit)


@pytest.mark.parametrize("metric", HISTOGRAMS, ids=lambda metric: metric.name)
def test_buckets_ascend(metric: Metric):
    assert list(metric.buckets) == sorted(set(metric.buckets)) and metric.buckets[0] > 0
