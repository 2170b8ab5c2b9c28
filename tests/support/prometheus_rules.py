"""The shipped configuration of Prometheus, for the tests of rules and dashboards."""

from pathlib import Path
from typing import Any

import yaml

from cluster.monitor.metrics.definitions import HISTOGRAMS, LABELS, METRICS

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "docker" / "prometheus"
KNOWN_LABELS = {*LABELS, "run", "job", "instance", "le", "alertname", "alertstate", "severity"}


def rules(file: str) -> list[dict[str, Any]]:
    """Return all rules of a rule file."""
    return [rule for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"] for rule in group["rules"]]


def known_names() -> set[str]:
    """Return every name that a rule or dashboard may read."""
    parts = {metric.name + part for metric in HISTOGRAMS for part in ("_bucket", "_sum", "_count")}
    plain = {name for name, metric in METRICS.items() if metric.kind != "histogram"}
    return plain | parts | {rule["record"] for rule in rules("recording.yml")} | {"up", "ALERTS"}
