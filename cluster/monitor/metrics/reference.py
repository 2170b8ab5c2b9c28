"""Writes the reference of all metrics: `python -m cluster.monitor.metrics.reference > docs/metrics.md`."""

import sys

from cluster.monitor.metrics.definitions import COUNTERS, GAUGES, HISTOGRAMS, LABELS, Metric

_HEAD = """\
# Metrics

Written by `python -m cluster.monitor.metrics.reference` from `cluster/monitor/metrics/definitions.py`; a test fails
when they differ.

A run serves all of these at one address. [monitoring.md](monitoring.md) tells how they are scraped,
[runbook.md](runbook.md) what the alerts on them mean.
"""

_COUNTERS = """\
All series begin at 0. They survive the restart of the process that is counted: what the next process reports is added.
"""

_GAUGES = """\
"Begins" is the value until the first report; `-` means that there is no series until then. Where several processes
report the same series, "over processes" tells how their values become one. What a process reports of itself goes when
it dies.
"""

_HISTOGRAMS = """\
All series begin at 0 and survive restarts as counters do. Each has `_bucket`, `_sum` and `_count`.
"""

_BEGINS = {"zero": "0", "start": "start", "absent": "-"}


def reference() -> str:
    """Return the reference as Markdown."""
    counters = [[_name(m), _labels(m), m.unit, m.help] for m in COUNTERS]
    gauges = [[_name(m), _labels(m), m.unit, _BEGINS[m.initial], m.combine, m.help] for m in GAUGES]
    histograms = [[_name(m), _labels(m), m.unit, _numbers(m.buckets), m.help] for m in HISTOGRAMS]
    parts = [
        _HEAD,
        "## Labels\n",
        _table(["label", "meaning"], [[f"`{label}`", meaning] for label, meaning in LABELS.items()]),
        "Prometheus adds `run`, the run's name, and `job`, which is `distill`. No label names an actor.\n",
        "## Counters\n",
        _COUNTERS,
        _table(["metric", "labels", "unit", "meaning"], counters),
        "## Gauges\n",
        _GAUGES,
        _table(["metric", "labels", "unit", "begins", "over processes", "meaning"], gauges),
        "## Histograms\n",
        _HISTOGRAMS,
        _table(["metric", "labels", "unit", "upper bounds", "meaning"], histograms),
    ]
    return "\n".join(parts)


def _name(metric: Metric) -> str:
    return f"`{metric.name}`"


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(reference())
