"""The shipped dashboards, for the tests."""

import json

from tests.support.prometheus_rules import ROOT

GRAFANA = ROOT / "docker" / "grafana"
DASHBOARDS = GRAFANA / "dashboards"


def expressions(name: str) -> list[str]:
    """Return every PromQL expression of a dashboard."""
    panels = json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def filled_in(expression: str, run: str = "demo", rate_interval: str = "20s") -> str:
    """Return an expression with Grafana's variables replaced as Grafana would."""
    return expression.replace("$__rate_interval", rate_interval).replace("$run", run).replace("$game", ".+")
