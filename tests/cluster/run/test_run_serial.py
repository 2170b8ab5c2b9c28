"""Whole runs in one process: what they leave, that they repeat exactly, and that they go on where they stopped."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from distill.student import load_student
from tests.support.sandbox import Sandbox, checkpointed, new_sandbox, rows

SERIAL = ("--serial", "--games", "breakout")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def finished(sandbox: Sandbox) -> Path:
    """A run with all that a run leaves behind."""
    options = ("--updates", "120", "--eval-every", "60", "--eval-episodes", "2", "--eval-lanes", "2", "--seed", "7")
    run = sandbox.train("full", *SERIAL, *options, "--final-episodes", "2", "--video")
    assert run.wait() == 0, run.output
    assert "geometric mean" in run.output
    assert str(sandbox.run("full") / "student.safetensors") in run.output
    return sandbox.run("full")


def weights(run: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(run / "student.safetensors").items()}


def test_a_run_leaves_its_configuration_and_where_it_came_from(finished: Path):
    settings = yaml.safe_load((finished / "config.yaml").read_text())
    assert settings["games"] == ["breakout"]
    assert settings["lanes"] == 4
    assert settings["tau"] == 0.01, "defaults are written, too"
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["seed"] == 7
    assert environment["git_commit"]
    assert {"torch", "ray", "ale-py", "redis"} <= set(environment["versions"])


def test_a_run_leaves_models_and_checkpoints_of_every_evaluated_version(finished: Path):
    evaluations = rows(finished, "evaluations.jsonl")
    assert [(row["version"], row["updates"]) for row in evaluations] == [(1, 60), (2, 120)]
    assert all((row["lineage"], row["game"], len(row["scores"])) == ("student", "breakout", 2) for row in evaluations)
    entries = json.loads((finished / "checkpoints" / "student" / "manifest.json").read_text())["checkpoints"]
    scores = {entry["version"]: entry["score"] for entry in entries if entry["version"]}
    assert scores.keys() == {1, 2} and None not in scores.values()
    names = json.loads((finished / "models" / "student" / "names.json").read_text())
    assert names["latest"] == 2
    assert names["best"] == names["production"]
    means = {row["version"]: sum(row["scores"]) for row in evaluations}
    assert means[names["best"]] == max(means.values()) and scores[names["best"]] == max(scores.values())


def test_a_run_leaves_metrics_of_its_last_update(finished: Path):
    last = rows(finished, "metrics.jsonl")[-1]
    learner = last["learners"]["student"]
    assert (last["updates"], learner["updates"], learner["samples"]) == (120, 120, 120 * 32)
    assert learner["inserted_transitions"]["breakout"] == learner["replay_transitions"]["breakout"] >= 120 * 32 / 6
    assert learner["rejected_chunks"].keys() and not any(learner["rejected_chunks"].values())
    assert last["lineages"]["student"]["newest"] == 2, "what was decided at the end is told"


def test_a_run_leaves_results_that_agree(finished: Path):
    result = json.loads((finished / "evaluation.json").read_text())
    (comparison,) = result["comparisons"]
    assert comparison["student"]["episodes"] == comparison["teacher"]["episodes"] == 2
    assert "| breakout |" in (finished / "table.md").read_text()
    assert (finished / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (finished / "videos" / "breakout.mp4").read_bytes()[4:8] == b"ftyp"
    student = load_student(finished / "student.safetensors")
    assert student.card.scores["breakout"]["scores"] == list(comparison["student"]["scores"])
    assert student.card.scores["breakout"]["version"] == comparison["student"]["version"]
    assert student.card.training["promoted_by"] == "ratio"


def test_nothing_else_is_left(sandbox: Sandbox, finished: Path):
    assert sandbox.leftovers() == []


def test_the_same_seed_gives_the_same_student_and_another_seed_another(sandbox: Sandbox):
    # Two games, whose chunks could arrive in another order, and students that drive.
    options = (
        "--serial",
        "--updates",
        "60",
        "--eval-every",
        "30",
        "--driver",
        "mixture",
        "--student-share-updates",
        "9",
    )
    for name, seed in (("one", "1"), ("again", "1"), ("two", "2")):
        sandbox.train_here(name, *options, "--seed", seed)
    one, again, two = (weights(sandbox.run(name)) for name in ("one", "again", "two"))
    assert one == again
    assert one != two


def test_a_resumed_run_goes_on_and_keeps_its_configuration(sandbox: Sandbox):
    options = ("--updates", "80", "--eval-every", "40", "--seed", "3")
    sandbox.train_here("resumed", *SERIAL, *options)
    folder = sandbox.run("resumed")
    before = rows(folder, "metrics.jsonl")[-1]["learners"]["student"]
    assert checkpointed(folder) == 80

    sandbox.resume_here("resumed", "--updates", "200")
    after = rows(folder, "metrics.jsonl")[-1]["learners"]["student"]
    assert after["updates"] == 200
    assert after["samples"] == 200 * 32
    assert after["seconds"] > before["seconds"]
    # What the checkpoint has counted refills the replay and is not counted again.
    grown = after["inserted_transitions"]["breakout"]
    assert grown == after["replay_transitions"]["breakout"]
    assert 200 * 32 / 6 <= grown < 200 * 32 / 6 + before["inserted_transitions"]["breakout"] + 512
    assert [row["version"] for row in rows(folder, "evaluations.jsonl")] == [1, 2, 3, 4, 5]
    assert [row["updates"] for row in rows(folder, "evaluations.jsonl")] == [40, 80, 120, 160, 200]
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert (settings["updates"], settings["seed"], settings["student"]) == (200, 3, "one_percent")
