"""Teachers of both kinds in one run: q-values are sharpened, logits of a policy are taken as they are."""

from pathlib import Path

import pytest
import torch
import yaml
from stable_baselines3 import PPO

from cluster import cli
from cluster.state.folder import open_any_run
from cluster.watch.cast import Cast
from cluster.watch.match import begin_match
from distill.model_card import read_card
from tests.support.foreign_graphs import foreign_graph
from tests.support.foreign_networks import Pixels
from tests.support.sandbox import TEACHERS

Capture = pytest.CaptureFixture[str]
TINY = (
    "--student", "one_percent", "--min-replay", "256", "--learner-threads", "1", "--eval-episodes", "1",
    "--eval-lanes", "1", "--final-episodes", "0", "--no-video", "--updates", "20", "--eval-every", "20",
)  # fmt: skip


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a DQN of Breakout, a PPO of Pong and an ONNX graph of Freeway."""
    folder = tmp_path_factory.mktemp("mixed")
    torch.manual_seed(1)
    PPO("CnnPolicy", Pixels(6), device="cpu", n_steps=2, batch_size=2).save(folder / "ppo.zip")
    imported = folder / "teachers" / "pong.safetensors"
    assert (
        cli.run(["import-teacher", str(folder / "ppo.zip"), "--game", "PongNoFrameskip-v4", "--out", str(imported)])
        == 0
    )
    (folder / "freeway.onnx").write_bytes(foreign_graph("uint8", actions=3).SerializeToString())
    source = ("import-teacher", str(folder / "freeway.onnx"), "--game", "freeway")
    assert cli.run([*source, "--out", str(folder / "teachers" / "freeway.safetensors")]) == 0
    (folder / "teachers" / "breakout.safetensors").symlink_to(TEACHERS / "breakout.safetensors")
    return folder / "teachers"


@pytest.fixture(scope="module")
def data(teachers: Path) -> Path:
    path = teachers.parent / "data"
    options = ("--lanes", "4", "--chunk-steps", "16", "--serial", "--transitions", "1200")
    assert cli.run(["record", str(path), "--teachers", str(teachers), *options]) == 0
    return path


def train(data: Path, name: str, *options: str) -> int:
    return cli.run(["run", "--data", str(data), "--root", str(data.parent), "--name", name, *TINY, *options])


@pytest.mark.parametrize("loss", ["kl", "nll", "jensen-shannon"])
def test_each_teacher_has_a_temperature_of_its_own(data: Path, loss: str) -> None:
    assert train(data, loss, "--loss", loss) == 0
    run = data.parent / loss
    assert yaml.safe_load((run / "config.yaml").read_text())["tau"] == 0.01
    card = read_card(run / "student.safetensors")
    assert (card.labels, card.training["tau"], card.training["taus"]) == ("logits", 0.01, {"pong": 1.0})
    cast = Cast(*open_any_run(run))
    assert (cast.tau("breakout", 0.01), cast.tau("pong", 0.01)) == (0.01, 1.0)
    match = begin_match("freeway", cast, open_any_run(run)[1])
    assert match.advance(1)["views"].keys() == {"student", "teacher"}
    match.close()


def test_what_copies_or_goes_on_with_q_values_refuses_a_policy(data: Path, teachers: Path, capsys: Capture) -> None:
    assert train(data, "mse", "--loss", "mse") == 2
    message = capsys.readouterr().err
    assert "loss: mse copies q-values, but the teacher of pong" in message and message.count("\n") == 1
    assert not (data.parent / "mse").exists()
    initial = (
        "--game",
        "pong",
        "--root",
        str(data.parent),
        "--name",
        "on",
        "--initial",
        str(teachers / "pong.safetensors"),
    )
    for command in (("teach",), ("online", "--student", "net1")):
        assert cli.run([*command, *initial]) == 2
        message = capsys.readouterr().err
        assert "initial model: expected q-values" in message and "found the logits of a policy" in message
        assert message.count("\n") == 1 and not (data.parent / "on").exists()


def test_a_policy_is_listed_evaluated_and_exported(teachers: Path, capsys: Capture) -> None:
    policy = teachers / "pong.safetensors"
    assert cli.run(["teachers", str(teachers)]) == 0
    assert "logits" in capsys.readouterr().out
    assert cli.run(["evaluate", str(policy), "--episodes", "1", "--lanes", "1", "--serial", "--write-card"]) == 0
    assert read_card(policy).labels == "logits"
    assert cli.run(["export", str(policy), str(teachers.parent / "pong.onnx")]) == 0


def test_a_graph_is_listed_and_evaluated_and_says_what_it_cannot_do(
    teachers: Path, data: Path, capsys: Capture
) -> None:
    graph = teachers / "freeway.safetensors"
    assert cli.run(["teachers", str(teachers)]) == 0
    assert "onnx" in capsys.readouterr().out
    assert cli.run(["evaluate", str(graph), "--episodes", "1", "--lanes", "1", "--serial", "--write-card"]) == 0
    assert len(read_card(graph).scores["freeway"]["scores"]) == 1
    capsys.readouterr()
    for command in (
        ("export", str(graph), str(teachers.parent / "exported.onnx")),
        ("teach", "--game", "freeway", "--root", str(data.parent), "--name", "on", "--initial", str(graph)),
    ):
        assert cli.run([*command]) == 2
        message = capsys.readouterr().err
        assert "ONNX graph" in message or "found onnx" in message
        assert message.count("\n") == 1 and not (data.parent / "on").exists()
