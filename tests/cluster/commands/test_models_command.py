"""`distill models`: lists, shows, exports and rolls back what a run has promoted, whether it runs or not."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from actors.evaluation import EvaluationTask
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.commands.models import command
from cluster.models.decisions import Promotion
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.folder import RunFolder, new_run
from distill.architectures import ARCHITECTURES
from distill.errors import ConfigError
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from distill.teach_config import OnlineConfig, TeachGeneralConfig


def model(seed: int) -> bytes:
    torch.manual_seed(seed)
    architecture = ARCHITECTURES["one_percent"]
    return model_bytes(QNetwork(architecture, {"pong": 6}), ModelCard("student", architecture, {"pong": 6}))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A stopped run with three versions of its student, of which two were promoted."""
    config = OnlineConfig(general=TeachGeneralConfig(name="run", root=tmp_path, games=("pong",)))
    folder = new_run(config, ["pong"])
    with PrivateRedis(folder.redis) as server:
        ledger = services(folder, server.url).ledger("student")
        names = ("best", "production")
        for version, parent in ((1, None), (2, 1), (3, None)):
            ledger.publish(model(version), {"updates": 10 * version})
            task = EvaluationTask("student", "pong", version, None, 2, 2, 0.05, 1)
            ledger.add_scores(task, [float(version), version + 1.0])
            scores = {"pong": {"mean": version + 0.5, "interval": [version, version + 1], "episodes": 2}}
            if version < 3:
                ledger.promote(Promotion(version, parent, names, scores, 1.7e9, "better"))
            else:
                ledger.turn_down(version, "rejected", "worse")
    return folder


def services(folder: RunFolder, url: str) -> RedisServices:
    return RedisServices(BufferAddress(url, folder.name, (), Limits(1, 1)), folder.path)


def output(*arguments: object) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    command([str(argument) for argument in arguments], console)
    return console.export_text()


def test_it_lists_lines_promotions_and_versions(folder: RunFolder):
    text = output(folder.path)
    assert "student" in text
    assert "best 2, latest 3, production 2" in text
    assert "pong 2.5 (2.0 to 3.0, 2 episodes)" in text
    text = output(folder.path, "--lineage", "student")
    assert "rejected worse" in text
    assert "promoted better" in text
    shown = json.loads(output(folder.path, "--lineage", "student", "--version", "production"))
    assert (shown["version"], shown["updates"], shown["scores"]) == (2, 20, {"pong": [2.0, 3.0]})


def test_it_exports_weights_bit_for_bit(folder: RunFolder, tmp_path: Path):
    output(folder.path, "--lineage", "student", "--export", tmp_path / "two.safetensors")
    assert (tmp_path / "two.safetensors").read_bytes() == model(2)
    output(folder.path, "--lineage", "student", "--version", "3", "--export", tmp_path / "three.safetensors")
    network, _ = load_model(tmp_path / "three.safetensors")
    assert torch.equal(network.conv1.weight, load_model(model(3))[0].conv1.weight)


def test_it_rolls_back_a_stopped_and_a_running_run(folder: RunFolder):
    assert "production of student is version 1 again, no longer 2" in output(
        folder.path, "--lineage", "student", "--roll-back"
    )
    with PrivateRedis(folder.redis) as server:
        ledger = services(folder, server.url).ledger("student")
        assert ledger.names() == {"best": 2, "latest": 3, "production": 1}, "best stays what the student has reached"
        output(folder.path, "--lineage", "student", "--roll-back", "--version", "3")
        assert ledger.resolve("production") == 3
    assert "roll" in output(folder.path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--version", "3"), "lineage: name one with --lineage; this run has student"),
        (("--lineage", "pong"), "lineage 'pong': this run has student"),
        (
            ("--lineage", "student", "--version", "9"),
            "version '9': student has 1 to 3 and the names best, latest, production",
        ),
        (("--lineage", "student", "--version", "x"), "version 'x'"),
        (("--lineage", "student", "--export", "/nowhere/x"), "is no folder"),
        (("--lineage", "student", "--export", "x", "--roll-back"), "give one of the two"),
    ],
)
def test_wrong_use_says_what_there_is(folder: RunFolder, arguments: tuple[str, ...], message: str):
    with pytest.raises(ConfigError, match=message):
        output(folder.path, *arguments)
