"""`distill compare` on real episodes: verdict, exit code and file; wrong use is one line."""

import json
import re
from pathlib import Path

import pytest
import torch

from cluster import cli
from distill.architectures import ARCHITECTURES
from distill.model_card import ModelCard
from distill.models import save_model
from distill.networks import QNetwork

ROOT = Path(__file__).resolve().parents[3]
BREAKOUT = ROOT / "docs" / "examples" / "breakout-modest.safetensors"
PONG = ROOT / "teachers" / "pong.safetensors"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = QNetwork(ARCHITECTURES["one_percent"], {"breakout": 4})
    path = tmp_path_factory.mktemp("models") / "untrained.safetensors"
    save_model(path, network, ModelCard("student", network.architecture, dict(network.actions)))
    return path


@pytest.mark.parametrize(
    ("names", "outcome", "code"),
    [(("untrained", "teacher"), "better", 0), (("teacher", "untrained"), "not better", 1),
     (("teacher", "teacher"), "undecided", 3)],
)  # fmt: skip
def test_verdict_and_exit_code(
    names: tuple[str, str], outcome: str, code: int, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"untrained": untrained, "teacher": BREAKOUT}
    out = tmp_path / "verdict.json"
    words = [str(paths[name]) for name in names]
    looks = ["--look-episodes", "4", "--most-episodes", "6", "--lanes", "2", "--epsilon", "0.2"]
    assert cli.run(["compare", *words, *looks, "--serial", "--out", str(out)]) == code
    assert f"{outcome}: the new model's mean is higher with probability" in " ".join(capsys.readouterr().out.split())
    found = json.loads(out.read_text())
    episodes = found["comparison"]["episodes"]
    assert found["comparison"]["outcome"] == outcome
    assert episodes == (6 if outcome == "undecided" else 4)
    assert {who: len(of["breakout"]) for who, of in found["scores"].items()} == {"old": episodes, "new": episodes}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((str(BREAKOUT), str(PONG)), "games: .*plays breakout, .*pong: none in common"),
        ((str(PONG), str(PONG), "--games", "breakout"), "games: both models play pong, not breakout"),
        ((str(PONG), "nowhere.safetensors"), "nowhere.safetensors: expected a model file, found nothing there"),
        ((str(PONG), str(PONG), "--worse-below", "0.999"), "worse_below: expected less than better_above"),
        ((str(PONG), str(PONG), "--out", str(PONG)), "out: "),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compare", *words, "--serial"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error)
