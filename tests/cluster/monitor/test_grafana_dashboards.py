"""The shipped dashboards: generated, about metrics that exist, valid PromQL, and laid out without gaps or overlaps."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import programs
from tests.support.grafana import DASHBOARDS, GRAFANA, expressions, filled_in
from tests.support.prometheus_rules import KNOWN_LABELS, PROMETHEUS, known_names
from tests.support.promql import label_names, metric_names

NAMES = ("run", "fleet")


def panels(name: str) -> list[dict[str, Any]]:
    return json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]


def test_the_dashboards_are_up_to_date(tmp_path: Path):
    pytest.importorskip("grafana_foundation_sdk", reason="without grafana_foundation_sdk, which the test extra has")
    subprocess.run([sys.executable, GRAFANA / "build.py", tmp_path], timeout=60, check=True)
    assert {file.name for file in DASHBOARDS.iterdir()} == {f"{name}.json" for name in NAMES}
    for file in DASHBOARDS.iterdir():
        assert file.read_text() == (tmp_path / file.name).read_text(), "run: python docker/grafana/build.py"


@pytest.mark.parametrize("expression", sorted({e for name in NAMES for e in expressions(name)}))
def test_an_expression_reads_only_metrics_and_labels_that_exist(expression: str):
    assert metric_names(expression), "it reads something"
    assert metric_names(expression) <= known_names()
    assert label_names(expression) <= KNOWN_LABELS


@pytest.mark.parametrize("name", NAMES)
def test_choices_are_made_of_metrics_that_exist(name: str):
    variables = json.loads((DASHBOARDS / f"{name}.json").read_text())["templating"]["list"]
    assert variables
    for variable in variables:
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)", variable["query"]).groups()
        assert metric in known_names() and label in KNOWN_LABELS


def test_every_expression_is_valid(tmp_path: Path):
    valid = [filled_in(expression) for name in NAMES for expression in expressions(name)]
    rules = [{"record": f"e{number}", "expr": expression} for number, expression in enumerate(valid)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    command = [programs.require("promtool"), "check", "rules", tmp_path / "rules.yml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_page_without_overlap_and_say_what_to_look_for(name: str):
    found = panels(name)
    assert len({panel["id"] for panel in found}) == len(found)
    places = [panel["gridPos"] for panel in found]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    area = sum(place["w"] * place["h"] for place in places)
    assert area == 24 * max(place["y"] + place["h"] for place in places), "no gaps"
    for panel in found:
        assert panel["type"] == "row" or panel["description"]


def test_the_provisioned_datasource_is_the_one_that_panels_use():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    used = {panel["datasource"]["uid"] for name in NAMES for panel in panels(name) if panel["type"] != "row"}
    assert used == {source["uid"]}
    scrape = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape, "rate intervals come from it"


def test_the_fleet_leads_to_the_dashboard_of_a_run():
    uid = json.loads((DASHBOARDS / "run.json").read_text())["uid"]
    assert f"/d/{uid}?var-run=" in (DASHBOARDS / "fleet.json").read_text()
