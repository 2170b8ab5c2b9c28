"""The shipped rules: valid, tested on both sides of every boundary, documented, and about metrics that exist."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import programs
from tests.support.prometheus_rules import KNOWN_LABELS, PROMETHEUS, ROOT, known_names, rules
from tests.support.promql import label_names, metric_names

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
EXPECTED = {
    "LearnerStalled", "LearnerStarved", "BufferBackpressure", "BufferNearCapacity", "ActorsMissing", "ActorRestartLoop",
    "TeacherVersionStale", "SampleToInsertRatioOff", "ChunksRejected", "LossNonFinite", "EvaluationOverdue",
    "CheckpointOverdue", "WritesRefused", "ScoreRegressed", "MetricsAbsent",
}  # fmt: skip
EVALUATION_SECONDS = 15


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    command = [programs.require("promtool"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def alert_tests(name: str) -> list[dict[str, Any]]:
    """Return every group of tests of an alert, without what it tests beside."""
    # The base loader leaves `0x40` the text that promtool reads; others take it for a number.
    documents = [yaml.load(file.read_text(), yaml.BaseLoader) for file in RULE_TESTS]
    groups = [group for document in documents for group in document["tests"]]
    of_alert = [[test for test in group.get("alert_rule_test", ()) if test["alertname"] == name] for group in groups]
    return [
        {key: group[key] for key in ("interval", "input_series")} | {"alert_rule_test": tests}
        for group, tests in zip(groups, of_alert, strict=True)
        if tests
    ]


def test_the_configuration_is_valid():
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid():
    done = promtool("check", "rules", "--lint-fatal", "recording.yml", "alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path):
    done = promtool("test", "rules", f"tests/{file.name}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_are_those_that_were_promised():
    assert set(ALERTS) == EXPECTED and len(rules("alerts.yml")) == len(EXPECTED)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_complete(name: str):
    rule, notes = ALERTS[name], ALERTS[name]["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "$value" in notes["summary"], "the summary tells the numbers"
    assert "$labels.run" in notes["summary"], "the summary names the run"
    fires = {bool(test["exp_alerts"]) for group in alert_tests(name) for test in group["alert_rule_test"]}
    assert fires == {True, False}, "tested on both sides"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_its_section_in_the_runbook(name: str):
    page, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    sections = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)
    (section,) = [section for section in sections if section.splitlines()[0].lower() == anchor]
    assert section.startswith(name)
    for part in ("**Means.**", "**Confirm.**", "**Do.**"):
        assert part in section


def test_queries_of_the_runbook_name_metrics_that_exist():
    found = set(re.findall(r"\b(?:run\w*:)?distill_[a-z_:0-9]+\b", (ROOT / "docs" / "runbook.md").read_text()))
    histograms = {name.removesuffix("_bucket") for name in known_names()}
    assert found <= known_names() | histograms


@pytest.mark.parametrize("rule", [*rules("recording.yml"), *rules("alerts.yml")], ids=lambda r: next(iter(r.values())))
def test_a_rule_reads_only_metrics_and_labels_that_exist(rule: dict[str, Any]):
    assert metric_names(rule["expr"]), "it reads something"
    assert metric_names(rule["expr"]) <= known_names()
    assert label_names(rule["expr"]) <= KNOWN_LABELS


def test_names_are_found_in_an_expression():
    expression = (
        'sum by (run) (rate(a_total{x="b_total"}[5m])) / on (run) group_left () (max(c:d:e1m) > 0) and up unless f'
    )
    assert metric_names(expression) == {"a_total", "c:d:e1m", "up", "f"}
    assert label_names(expression) == {"run", "x"}


def mutations(name: str) -> Iterator[tuple[str, str]]:
    """Yield what could be slightly wrong with an alert, and the text of alerts.yml with it."""
    text = (PROMETHEUS / "alerts.yml").read_text()
    begin = text.index(f"- alert: {name}\n")
    end = text.index("annotations:", begin)

    def changed(start: int, stop: int, new: str) -> str:
        return text[: begin + start] + new + text[begin + stop :]

    block = text[begin:end]
    pause = re.search(r"for: (\d+)m\n", block)
    if pause:
        for seconds in (-EVALUATION_SECONDS, EVALUATION_SECONDS):
            yield f"for {seconds:+} s", changed(*pause.span(), f"for: {60 * int(pause[1]) + seconds}s\n")
    else:
        at = block.index("labels:")
        yield "for 15 s", changed(at, at, "for: 15s\n        ")
    for found in re.finditer(r"(>=?) ([\d.]+)", block):
        for new in neighbours(float(found[2])):
            yield f"{found[0]} becomes {new:g}", changed(*found.span(), f"{found[1]} {new:g}")
    for found in re.finditer(r"\[(\d+)m\]", block):
        for factor in (0.5, 1.5):
            minutes = int(int(found[1]) * factor)
            yield f"{found[0]} becomes {minutes}m", changed(*found.span(), f"[{minutes}m]")
    for found in re.finditer(r"^ *(and|unless) on .*\n", block, re.MULTILINE):
        yield f"without {found[0].strip()}", changed(*found.span(), "")


def neighbours(number: float) -> tuple[float, float]:
    """Return a slightly smaller and a slightly larger threshold."""
    if number.is_integer() and number <= 10:
        return number - 1, number + 1
    return 0.9 * number, 1.1 * number


MUTATIONS = [(name, *mutation) for name in ALERTS for mutation in mutations(name)]


def test_what_the_next_test_changes_leaves_valid_rules(tmp_path: Path):
    for number, (_, _, text) in enumerate(MUTATIONS):
        (tmp_path / f"{number}.yml").write_text(text)
    done = promtool("check", "rules", *sorted(file.name for file in tmp_path.iterdir()), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name, change, text", MUTATIONS, ids=[f"{name}: {change}" for name, change, _ in MUTATIONS])
def test_the_tests_of_an_alert_notice_a_boundary_that_moved(name: str, change: str, text: str, tmp_path: Path):
    (tmp_path / "alerts.yml").write_text(text)
    shutil.copy(PROMETHEUS / "recording.yml", tmp_path)
    groups = [group["name"] for group in yaml.safe_load(text)["groups"]]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({
        "rule_files": ["recording.yml", "alerts.yml"],
        "evaluation_interval": "15s",
        "group_eval_order": ["distill_recording", *groups],
        "tests": alert_tests(name),
    }))  # fmt: skip
    done = promtool("test", "rules", "tests.yml", folder=tmp_path)
    assert done.returncode == 1, f"nobody notices: {change}"
    assert f"alertname: {name}" in done.stdout + done.stderr
