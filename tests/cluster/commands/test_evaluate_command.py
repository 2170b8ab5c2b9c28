"""`distill evaluate` under other people's protocols: what is printed, and what the card says then."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster import cli
from distill.model_card import read_card, write_card
from tests.support.foreign_networks import CleanRLQNetwork, PlainNetwork
from tests.support.sandbox import TEACHERS

FEW = ["--episodes", "2", "--lanes", "2", "--max-frames", "400", "--serial"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "breakout.safetensors"
    path.write_bytes((TEACHERS / "breakout.safetensors").read_bytes())
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_reported_score_is_compared_and_kept_apart(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_card(model)
    out = tmp_path / "scores.json"
    words = ["evaluate", str(model), "--protocol", "sb3", "--reported", "358.3", "--write-card", "--out", str(out)]
    assert cli.run([*words, *FEW]) == 0
    told = printed(capsys)
    assert "protocol sb3+max_frames=400: epsilon 0.01, no sticky actions, up to 30 no-ops, FIRE for a step" in told
    assert re.search(r"breakout: measured .* under protocol sb3\+max_frames=400, reported 358.3: it lies above", told)
    after = read_card(model)
    entry = after.scores["breakout"].pop("protocols")["sb3+max_frames=400"]
    assert after == before, "the scores under this project's protocol stay as they were"
    assert (entry["reported"], entry["protocol"], entry["episodes"]) == (358.3, "sb3+max_frames=400", 2)
    assert entry["settings"]["life_loss"] == "restarts"
    found = json.loads(out.read_text())[0]
    assert (found["protocol"], found["reported"]) == ("sb3+max_frames=400", 358.3)
    assert found["statistics"]["mean"] == entry["measured"]


def test_it_says_where_the_network_was_trained_otherwise(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = read_card(model)
    write_card(model, replace(card, training=card.training | {"protocol": "dopamine"}))
    assert cli.run(["evaluate", str(model), *FEW]) == 0
    assert "It was trained under protocol dopamine: sticky actions 0.25 (here no sticky actions)" in printed(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--protocol", "gorila"), "invalid choice"),
        (("--sticky-actions", "1.5"), "sticky_actions: expected at most 1"),
        (("--noop-max", "-1"), "noop_max: expected at least 0"),
        (("--max-frames", "3"), "max_frames: expected at least 4"),
        (("--reported", "nan"), "reported: expected"),
        (("--reported", "1e300"), "reported: expected at most"),
        (("--fire", "always"), "invalid choice"),
    ],
)
def test_wrong_settings_are_refused(
    words: tuple[str, ...], message: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(model), *words, "--serial"]) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "protocol", "told"),
    [
        ((), "cleanrl", "Trained under protocol cleanrl; compare with its author's score: distill evaluate"),
        (("--protocol", "dopamine"), "dopamine", "Trained under protocol dopamine;"),
    ],
)
def test_an_imported_teacher_names_its_protocol(
    words: tuple[str, ...], protocol: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "dqn_atari.cleanrl_model", tmp_path / "pong.safetensors"
    torch.save(CleanRLQNetwork(6).state_dict(), source)
    assert cli.run(["import-teacher", str(source), "--game", "PongNoFrameskip-v4", "--out", str(out), *words]) == 0
    assert told in printed(capsys)
    assert read_card(out).training["protocol"] == protocol


def test_a_file_that_anybody_could_have_written_has_no_protocol(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "net.pth", tmp_path / "breakout.safetensors"
    torch.save(PlainNetwork().state_dict(), source)
    assert cli.run(["import-teacher", str(source), "--game", "breakout", "--out", str(out)]) == 0
    assert "Its protocol is not known; name it with --protocol" in printed(capsys)
    assert "protocol" not in read_card(out).training
