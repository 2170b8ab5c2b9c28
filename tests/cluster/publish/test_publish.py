"""A published folder holds a model whole, says of it what is known, and nothing of the machine that it comes from."""

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from cluster import cli
from cluster.publish.names import CARD, CONFIG, MODEL, ONNX
from distill.model_card import read_card, write_card
from distill.student import load_student

ROOT = Path(__file__).resolve().parents[3]
RUN = ROOT / "tests/golden/0.1.0/run"
TEACHER = ROOT / "teachers/pong.safetensors"
BARE = ("--no-page", "--no-video")
Capture = pytest.CaptureFixture[str]


def publish(source: Path, out: Path, *options: str) -> Path:
    assert cli.run(["publish", str(source), str(out), *options]) == 0
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(RUN, tmp_path_factory.mktemp("hub") / "small", *BARE, "--license", "mit")


def metadata(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / CARD).read_text().split("---\n", 2)
    return yaml.safe_load(front)


def test_the_folder_holds_the_model_in_both_forms(folder: Path):
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CONFIG, ONNX, MODEL]
    assert (folder / MODEL).read_bytes() == (RUN / "student.safetensors").read_bytes()
    student = load_student(folder / MODEL)
    session = onnxruntime.InferenceSession(folder / ONNX)
    observations = np.random.default_rng(1).integers(0, 256, (3, 4, 84, 84), np.uint8)
    for game in student.games:
        (q_values,) = session.run([f"q_values_{game}"], {"observations": observations})
        np.testing.assert_allclose(q_values, student.q_values(observations, game), atol=1e-4)


def test_the_configuration_tells_programs_what_decides_on_the_result_and_nothing_of_a_machine(folder: Path):
    config = json.loads((folder / CONFIG).read_text())
    card = read_card(folder / MODEL)
    assert {game: len(actions) for game, actions in config["games"].items()} == card.actions
    assert config["preprocessing"] == card.preprocessing
    assert {"tau", "loss", "batch_size", "seed"} <= config["settings"].keys()
    recorded = yaml.safe_load((RUN / "config.yaml").read_text())
    for name in ("root", "teachers", "name", "buffer", "metrics_host", "device", "address"):
        assert name not in config["settings"], name
    for text in ((folder / CARD).read_text(), json.dumps(config)):
        for private in (str(recorded["root"]), *recorded["teachers"], str(ROOT), str(Path.home())):
            assert private not in text


def test_the_card_has_results_with_intervals_that_a_hub_reads(folder: Path):
    hub = pytest.importorskip("huggingface_hub", reason="without huggingface_hub: pip install 'policy-distillery[hub]'")
    card = hub.ModelCard.load(folder / CARD)
    assert card.data.license == "mit"
    assert (card.data.library_name, card.data.model_name) == ("policy-distillery", "small")
    results = {(result.dataset_type, result.metric_type): result for result in card.data.eval_results}
    scores = json.loads((RUN / "evaluation.json").read_text())["comparisons"]
    for comparison in scores:
        environment = "".join(word.title() for word in comparison["student"]["game"].split("_")) + "NoFrameskip-v4"
        student = comparison["student"]
        expected = f"{student['mean']:.2f} +/- {student['standard_deviation']:.2f}"
        assert results[environment, "mean_reward"].metric_value == expected
        low, high = (float(end) for end in results[environment, "mean_reward_interval"].metric_value.split(" to "))
        assert (low, high) == pytest.approx(student["interval"], abs=0.01)
        if comparison["ratio"]["value"] is not None:
            assert results[environment, "teacher_ratio"].metric_value == pytest.approx(
                comparison["ratio"]["value"], abs=1e-4
            )


def test_the_card_tells_people_scores_rules_actions_and_use(folder: Path):
    text = (folder / CARD).read_text()
    for said in (
        "# small",
        "| game | episodes | mean | 95 % interval |",
        "geometric mean",
        "FIRE",
        "5% random actions",
    ):
        assert said in text, said
    assert "`play.html`" not in text and "`replay.mp4`" not in text, "what is not there"


def test_a_teacher_is_published_from_its_file(tmp_path: Path):
    folder = publish(TEACHER, tmp_path / "pong", *BARE, "--name", "A Pong player")
    data = metadata(folder)
    assert data["model-index"][0]["name"] == "A Pong player"
    assert "license" not in data and "policy-distillation" not in data["tags"]
    assert "## Training" not in (folder / CARD).read_text()


def test_a_model_without_scores_has_no_results(tmp_path: Path, capsys: Capture):
    model = tmp_path / "unplayed.safetensors"
    shutil.copy(TEACHER, model)
    write_card(model, replace(read_card(model), scores={}))
    folder = publish(model, tmp_path / "new", *BARE)
    assert "model-index" not in metadata(folder)
    assert "It was not evaluated" in (folder / CARD).read_text()
    assert "its card has no scores" in capsys.readouterr().out


@pytest.mark.parametrize(
    "source, options, why",
    [
        ("RUN", ("--private", *BARE), "private: it says how a repository is made; name one with --repo"),
        ("RUN", ("--repo", "no-owner", *BARE), "repo: "),
        ("RUN", ("--license", "my own!", *BARE), "license: "),
        ("RUN/config.yaml", BARE, "config.yaml: "),
        ("RUN/models", BARE, "models: expected a run's folder"),
        ("nowhere", BARE, "nowhere: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_published_is_refused_in_one_sentence_and_leaves_nothing(
    source: str, options: tuple[str, ...], why: str, tmp_path: Path, capsys: Capture
):
    path = source.replace("RUN", str(RUN))
    assert cli.run(["publish", path, str(tmp_path / "out"), *options]) == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_result_is_refused(tmp_path: Path, capsys: Capture):
    run = tmp_path / "stopped"
    run.mkdir()
    for name in ("config.yaml", "environment.json"):
        (run / name).write_bytes((RUN / name).read_bytes())
    assert cli.run(["publish", str(run), str(tmp_path / "out"), *BARE]) == 2
    assert "run stopped: expected its result" in capsys.readouterr().err


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_replaced(make: Any, tmp_path: Path, capsys: Capture):
    make(tmp_path / "out")
    assert cli.run(["publish", str(TEACHER), str(tmp_path / "out"), *BARE]) == 2
    assert f"out: {tmp_path / 'out'} exists; choose another folder, or remove it first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script, why",
    [
        ("echo 'npm error no network' >&2; exit 1", "npm error no network"),
        ("exit 0", "it has left no archive"),
        ('echo no archive > "${@: -1}/x.tgz"', "expected the archive sha512-"),
    ],
)
def test_a_page_that_cannot_be_made_leaves_nothing(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
):
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/bash\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", os.pathsep.join((str(npm.parent), os.environ["PATH"])))
    assert cli.run(["publish", str(TEACHER), str(tmp_path / "out"), "--no-video"]) == 2
    assert why in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_page_needs_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.run(["publish", str(TEACHER), str(tmp_path / "out")]) == 2
    assert "page: expected npm, which fetches onnxruntime-web, found none" in capsys.readouterr().err
