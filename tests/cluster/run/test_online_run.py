"""Whole runs with Q-learners, as a user starts them: what they leave, and that killing all of it loses nothing."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from cluster.models.mirror import ModelMirror
from cluster.models.promotions import read_promotions
from distill.model_card import read_card
from distill.models import load_model
from distill.teachers import read_teacher
from tests.support.sandbox import START_SECONDS, Sandbox, checkpointed, new_sandbox, processes, rows, until

GAME = "breakout"
pytestmark = pytest.mark.timeout(400)

TINY = (
    "--game", GAME, "--network", "one_percent", "--lanes", "4", "--chunk-steps", "16", "--min-replay", "256",
    "--q-batch-size", "16", "--q-sample-to-insert", "1", "--publish-seconds", "0.5", "--candidate-steps", "1200",
    "--checkpoint-seconds", "0.5", "--look-episodes", "2", "--most-episodes", "4", "--best-episodes", "2",
    "--eval-lanes", "2", "--learner-threads", "1", "--epsilon-steps", "1000",
)  # fmt: skip
# The window is small so that no run ends before its student has made updates, however slow the machine is.
STUDENT = (
    "--student", "one_percent", "--batch-size", "16", "--sample-to-insert", "2", "--sample-to-insert-window", "2000",
    "--eval-every", "100",
)  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


def start(sandbox: Sandbox, command: str, *options: str):
    return sandbox.start(command, *TINY, "--root", str(sandbox.path / "runs"), "--name", "run", *options)


def state(folder: Path, lineage: str) -> dict:
    file = folder / "checkpoints" / lineage / f"checkpoint-{checkpointed(folder, lineage):010d}.safetensors"
    with safe_open(file, framework="pt") as checkpoint:
        return json.loads(checkpoint.metadata()["state"])


def unplayed(folder: Path, lineage: str) -> list[int]:
    """Return the versions of a lineage's last half that could have been played for the curves and were not.

    The killed coordinator is away for seconds, and this learner publishes more than the registry holds meanwhile.
    """
    mirror = ModelMirror(folder, lineage)
    decisions = mirror.decisions()
    seconds = {version: mirror.metadata(version)["seconds"] for version in mirror.versions()}
    half = [version for version in seconds if seconds[version] >= max(seconds.values()) / 2]
    curve = [row for row in rows(folder, "evaluations.jsonl") if (row["lineage"], row["purpose"]) == (lineage, "curve")]
    played = {row["version"] for row in curve}
    assert len(curve) == len(played), "once each"
    assert all(len(row["scores"]) == 2 for row in curve)
    assert any(decisions.verdicts[version]["verdict"] == "superseded" for version in played), "and what had given way"
    assert {f"{version}/{GAME}/curve/0" for version in played} <= decisions.scores.keys()
    return [version for version in half if version not in played and mirror.data(version) is not None]


def test_teach_leaves_a_teacher_with_its_card(sandbox: Sandbox):
    run, folder = start(sandbox, "teach", "--steps", "2000", "--final-episodes", "4", "--no-video"), sandbox.run("run")
    assert run.wait(3 * START_SECONDS) == 0, run.output
    assert sandbox.leftovers() == []
    teacher = read_teacher(folder / f"{GAME}.safetensors")
    assert len(teacher.scores) == 4
    training = teacher.card.training
    assert training["method"] == "3-step Double DQN"
    assert training["preset"] == "fast"
    assert training["transitions"][GAME] > 0
    played = [
        row
        for row in rows(folder, "evaluations.jsonl")
        if (row["lineage"], row["purpose"], row["block"]) == (GAME, "look", 0)
    ]
    assert len(training["curve"][GAME]) == len(played) >= 1, "a point for every candidate that was played"
    promotions = read_promotions(folder, GAME)
    assert promotions[0].why == "the first candidate"
    metrics = rows(folder, "metrics.jsonl")[-1]
    assert metrics["learners"][GAME]["inserted_transitions"][GAME] >= 2000
    assert metrics["lineages"][GAME]["best"] == promotions[-1].version
    assert metrics["learners"][GAME]["lag"][GAME] >= 0
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_online_bears_the_death_of_each_process_and_of_all(sandbox: Sandbox):
    run = start(sandbox, "online", *STUDENT, "--steps", "1000000", "--final-episodes", "0", "--curve-episodes", "2")
    folder = sandbox.run("run")
    run.until(lambda: len(rows(folder, "evaluations.jsonl")) >= 3, "evaluations", 2 * START_SECONDS)
    run.until(lambda: checkpointed(folder) > 20 and checkpointed(folder, GAME) > 20, "checkpoints")

    for kind in ("Coordinator", "Explorer", "Evaluator"):
        (dead,) = run.until(lambda kind=kind: run.actors(kind), f"the {kind}")
        os.kill(dead, signal.SIGKILL)
        run.until(lambda kind=kind, dead=dead: run.actors(kind).keys() - {dead}, f"another {kind}", 30.0)
    seen = len(rows(folder, "evaluations.jsonl"))
    run.until(lambda: len(rows(folder, "evaluations.jsonl")) > seen + 1, "evaluations after that", START_SECONDS)

    learners = run.actors("Learner")
    assert len(learners) == 2
    at = checkpointed(folder), checkpointed(folder, GAME)
    for dead in learners:
        os.kill(dead, signal.SIGKILL)
    run.until(lambda: len(run.actors("Learner").keys() - learners.keys()) == 2, "other learners", 30.0)
    run.until(lambda: checkpointed(folder) > at[0] + 20 and checkpointed(folder, GAME) > at[1] + 20, "updates of both")

    promoted = read_promotions(folder, GAME)
    assert promoted
    run.kill_group()
    until(lambda: not processes(sandbox.path), "all processes are gone", 10.0)
    before, student = state(folder, GAME), state(folder, "student")
    steps = before["feed"]["inserted"][GAME]
    more = sandbox.start("online", "--resume", str(folder), "--steps", str(steps + 3000))
    assert more.wait(4 * START_SECONDS) == 0, more.output
    assert sandbox.leftovers() == []

    after = state(folder, GAME)
    assert after["updates"] > before["updates"]
    assert after["feed"]["inserted"][GAME] >= steps + 3000
    assert state(folder, "student")["updates"] > student["updates"]
    assert read_promotions(folder, GAME)[: len(promoted)] == promoted, "nothing is forgotten or promoted anew"
    versions = [promotion.version for promotion in read_promotions(folder, GAME)]
    assert versions == sorted(set(versions))
    for lineage in (GAME, "student"):
        assert unplayed(folder, lineage) == [], "all of the last half is played after the training"
    metrics = rows(folder, "metrics.jsonl")[-1]
    assert not any(metrics["learners"][GAME]["rejected_chunks"].values())
    network, card = load_model(folder / "student.safetensors")
    assert card.training["method"] == "online policy distillation"
    assert card.training["taught_by"][GAME] in versions
    assert network.actions == read_card(folder / f"{GAME}.safetensors").actions
