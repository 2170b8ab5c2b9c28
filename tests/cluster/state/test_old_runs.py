"""Folders that version 0.1.0 wrote: read for everything that only reads, refused for what would go on with them."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from cluster import cli
from cluster.analysis.run_data import read_run
from cluster.state.folder import FORMAT, open_any_run
from cluster.watch.state import StateReader

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "0.1.0"
KINDS = ("run", "teach", "online")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a folder of one kind, as a user's own."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / "runs" / request.param))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_has_its_curves_scores_and_promotions(folder: Path, tmp_path: Path):
    run = read_run(folder)
    assert run.notes == []
    assert run.state == "finished"
    assert run.lineages == {"run": ["student"], "teach": ["breakout"], "online": ["breakout", "student"]}[folder.name]
    assert all(
        run.learner(lineage)[-1].updates > 0 for lineage in run.lineages if lineage != "student" or folder.name == "run"
    )
    assert run.looks and all(run.seconds_at(look) is not None for look in run.looks)
    assert run.final
    assert bool(run.promotions.get("breakout")) == (folder.name != "run")
    before = files(folder)
    assert cli.run(["report", str(folder), "--out", str(tmp_path / "report.html")]) == 0
    assert files(folder) == before, "a report leaves no trace"
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_live_page_shows_its_curves(folder: Path):
    document = StateReader(folder).document()
    assert json.dumps(document, allow_nan=False)
    assert document["run"]["state"] == "finished"
    assert document["learners"] and all(learner["curves"]["minutes"] for learner in document["learners"])
    scores = document["games"][0]["scores"]
    assert scores["student"] if folder.name == "run" else scores["candidate"] and scores["teacher"]
    assert document["log"], "its messages are found in its log"


def test_runs_and_models_list_it_and_its_model_is_exported(folder: Path, tmp_path: Path, capsys: Capture):
    assert cli.run(["runs", "--root", str(folder.parent)]) == 0
    assert f" {folder.name} " in capsys.readouterr().out
    lineage = "breakout" if folder.name == "teach" else "student"
    assert cli.run(["models", str(folder), "--lineage", lineage]) == 0
    out = tmp_path / "model.safetensors"
    assert cli.run(["models", str(folder), "--lineage", lineage, "--export", str(out)]) == 0
    assert cli.run(["export", str(out), str(tmp_path / "model.onnx")]) == 0
    assert cli.run(["evaluate", str(out), "--episodes", "1", "--lanes", "1", "--serial", "--games", "breakout"]) == 0


def test_it_is_not_resumed(folder: Path, capsys: Capture):
    before = files(folder)
    assert cli.run([folder.name, "--resume", str(folder)]) == 2
    message = capsys.readouterr().err
    assert f"expected a folder of format {FORMAT} to {FORMAT}, found 1" in message
    assert "can report, watch, evaluate and export" in message and len(message.splitlines()) == 1
    assert files(folder) == before


def test_a_folder_of_a_newer_version_is_refused_by_name(folder: Path, capsys: Capture):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"format": FORMAT + 1}))
    for command in (("models", str(folder)), ("scale-actors", str(folder)), (folder.name, "--resume", str(folder))):
        assert cli.run(command) == 2
        assert f"found {FORMAT + 1}, which another version of this program has made" in capsys.readouterr().err


def test_its_configuration_starts_a_new_run(folder: Path):
    _, config = open_any_run(folder)
    assert config.general.games
    assert config.command == folder.name
