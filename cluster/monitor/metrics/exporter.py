"""Keeps and serves a run's metrics: one endpoint for the whole job, to which all its processes report."""

import threading
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import product
from types import TracebackType
from typing import Self, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from cluster.monitor.metrics.definitions import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    METRICS,
    SIDES,
    WHO,
    WRITES,
    Metric,
)
from cluster.monitor.metrics.endpoint import metrics_server
from cluster.monitor.metrics.series import CounterSeries, GaugeSeries, HistogramSeries
from distill.chunks import REJECTION_REASONS
from distill.errors import RunError
from distill.histograms import HistogramTotals

_WRITE_FAILURES = "distill_write_failures_total"
"""Its reasons are not those for which chunks are refused."""

Labels = tuple[str, ...]
"""Values of a metric's labels, in the order of its definition."""
Series = TypeVar("Series", CounterSeries, GaugeSeries, HistogramSeries)


class Exporter(Collector):
    """Keeps all series of a run, and serves them at `/metrics` as long as its context lasts.

    A source is whoever reports running totals: the name of an actor, say. Its restart is seen when a total drops; who
    knows of it sooner calls `forget`, which also removes the gauges that the dead one had set. A gauge that has to
    outlive whoever it is about, such as the time of a learner's newest update, is set without a source.

    Args:
        games: by ROM name.
        roles: that this run has.
        host: address or name to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        RunError: if the address cannot be listened on.
    """

    def __init__(self, games: Iterable[str], roles: Iterable[str], host: str = "127.0.0.1", port: int = 0) -> None:
        self._lock = threading.Lock()
        self._label_values: dict[str, Labels] = {
            "game": tuple(games),
            "role": tuple(roles),
            "reason": REJECTION_REASONS,
            "side": SIDES,
            "who": WHO,
            "version": (version("policy-distillery"),),
        }
        now = time.time()
        initial = {"zero": 0.0, "start": now, "absent": None}
        self._counters = {m.name: {labels: CounterSeries() for labels in self._all(m)} for m in COUNTERS}
        self._gauges = {
            m.name: {labels: GaugeSeries(m.combine, initial[m.initial]) for labels in self._all(m)} for m in GAUGES
        }
        self._histograms = {
            m.name: {labels: HistogramSeries([0] * (len(m.buckets) + 1)) for labels in self._all(m)} for m in HISTOGRAMS
        }
        self.set("distill_build_info", 1.0, version=self._label_values["version"][0])
        registry = CollectorRegistry()
        registry.register(self)
        self._server = metrics_server(registry, host, port)

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        return self._server.address

    def set_total(self, name: str, value: float, source: str, *, resumed: bool = False, **labels: str) -> None:
        """Take a running total that `source` has counted since it began.

        Args:
            name: of a counter.
            value: the total.
            source: who reports.
            resumed: whether the total includes that of earlier processes; see `CounterSeries.report`. To count a run's
                first report in full, report 0 before it.
            labels: of the series.
        """
        with self._lock:
            self._series(self._counters, name, labels).report(value, source, resumed=resumed)

    def set(self, name: str, value: float, source: str | None = None, **labels: str) -> None:
        """Set a gauge; with a source it goes when the source is forgotten."""
        with self._lock:
            self._series(self._gauges, name, labels).set(value, source)

    def observe(self, name: str, totals: HistogramTotals, source: str, **labels: str) -> None:
        """Take what `source` has observed since it began, in the buckets of the metric's definition."""
        with self._lock:
            self._series(self._histograms, name, labels).report(totals, source)

    def forget(self, source: str) -> None:
        """Drop the gauges of a source that has ended, and take its next totals for those of a new process."""
        with self._lock:
            for table in (self._counters, self._gauges, self._histograms):
                for series in table.values():
                    for one in series.values():
                        one.forget(source)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Yield every metric as it is now; the HTTP server calls this for each scrape."""
        with self._lock:
            families = [
                *(self._counter_family(metric) for metric in COUNTERS),
                *(self._gauge_family(metric) for metric in GAUGES),
                *(self._histogram_family(metric) for metric in HISTOGRAMS),
            ]
        yield from families

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, traceback)

    def _all(self, metric: Metric) -> Iterator[Labels]:
        return product(*(self._values(metric.name, label) for label in metric.labels))

    def _values(self, name: str, label: str) -> Labels:
        return WRITES if (name, label) == (_WRITE_FAILURES, "reason") else self._label_values[label]

    def _series(self, table: dict[str, dict[Labels, Series]], name: str, labels: dict[str, str]) -> Series:
        if name not in table:
            raise RunError(f"metric {name}: expected one of {', '.join(table)}")
        expected = METRICS[name].labels
        if set(labels) != set(expected):
            raise RunError(f"metric {name}: expected the labels {list(expected)}, found {list(labels)}")
        values = tuple(labels[label] for label in expected)
        if values not in table[name]:
            known = {label: self._values(name, label) for label in expected}
            raise RunError(f"metric {name}: expected labels among {known}, found {labels}")
        return table[name][values]

    def _counter_family(self, metric: Metric) -> CounterMetricFamily:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, series in self._counters[metric.name].items():
            family.add_metric(labels, series.value)
        return family

    def _gauge_family(self, metric: Metric) -> GaugeMetricFamily:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, series in self._gauges[metric.name].items():
            value = series.value
            if value is not None:
                family.add_metric(labels, value)
        return family

    def _histogram_family(self, metric: Metric) -> HistogramMetricFamily:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, series in self._histograms[metric.name].items():
            buckets: list[tuple[str, float]] = []
            observations = 0
            for bound, count in zip((*map(str, metric.buckets), "+Inf"), series.counts, strict=True):
                observations += count
                buckets.append((bound, observations))
            family.add_metric(labels, buckets, series.sum)
        return family
