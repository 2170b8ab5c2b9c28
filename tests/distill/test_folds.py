"""Networks of other kinds give the same q-values once they are folded into a plain DQN, on real frames."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from sb3_contrib import QRDQN
from torch import Tensor, nn

from distill.errors import ModelFileError
from distill.importing import import_teacher
from tests.support.foreign_networks import Dueling, Noisy, NoisyLinear, Pixels, SharedDueling, plain, saved
from tests.support.real_frames import assert_same, real_frames


def assert_imported(path: Path, expected: nn.Module, folded: list[str]) -> None:
    network, card = import_teacher(path, "pong")
    with torch.no_grad():
        assert_same(network, "pong", expected(torch.from_numpy(real_frames("pong"))))
    assert card.training["imported_from"]["folded"] == folded


@pytest.mark.parametrize(
    "model",
    [
        Dueling(),
        Dueling(sizes=(128, 512)),
        Dueling(("adv", "val"), (256, 64)),
        Dueling(("z_a", "z_v")),
        SharedDueling(),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "value_net."])
def test_dueling_networks(model: nn.Module, prefix: str, tmp_path: Path) -> None:
    state = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    path = saved(tmp_path / "q.pth", {"q": state, "target": {key: value + 1 for key, value in state.items()}})
    assert_imported(path, model, ["a dueling network, value and advantage in one"])


@pytest.mark.parametrize("names", [
    ("{}_mu", "{}_sigma", "{}_epsilon"),
    ("mu_{}", "sigma_{}", "eps_{}"),
    ("{}", "sigma_{}", "epsilon_{}"),
])  # fmt: skip
def test_noisy_networks(names: tuple[str, str, str], tmp_path: Path) -> None:
    model = Noisy(names)
    path = saved(tmp_path / "q.pth", model.state_dict())
    assert_imported(path, model, ["noisy layers, by their means"])


def test_dueling_and_noisy_at_once(tmp_path: Path) -> None:
    model, names = Dueling(), ("{}_mu", "{}_sigma", "{}_epsilon")
    for streams in model.streams.values():
        for index in (0, 2):
            layer = streams[index]
            streams[index] = NoisyLinear(layer.in_features, layer.out_features, names)
    path = saved(tmp_path / "q.pth", model.state_dict())
    assert_imported(path, model, ["noisy layers, by their means", "a dueling network, value and advantage in one"])


@pytest.fixture(scope="module")
def quantiles() -> QRDQN:
    options: dict[str, Any] = {"n_quantiles": 50}
    model = QRDQN("CnnPolicy", Pixels(6), buffer_size=2, device="cpu", seed=1, policy_kwargs=options)
    with torch.no_grad():
        # Quantiles of a new network cancel one another out.
        model.quantile_net.quantile_net[-1].bias += torch.linspace(0.0, 3.0, 300)
    return model


def test_the_mean_of_the_quantiles_of_sb3_contrib(quantiles: QRDQN, tmp_path: Path) -> None:
    quantiles.save(tmp_path / "qrdqn.zip")
    network, card = import_teacher(tmp_path / "qrdqn.zip", "pong")
    frames = torch.from_numpy(real_frames("pong"))
    with torch.no_grad():
        assert_same(network, "pong", quantiles.quantile_net(frames).mean(1))
    with torch.inference_mode():
        assert (network(frames, "pong").argmax(1) == quantiles.policy._predict(frames)).all()
    source = card.training["imported_from"]
    assert (source["format"], source["folded"]) == ("QR-DQN of sb3-contrib", ["50 quantiles an action, by their mean"])
    with pytest.raises(
        ModelFileError, match=r"game ms_pacman has 9 actions .*found 300 quantiles, which is no multiple"
    ):
        import_teacher(tmp_path / "qrdqn.zip", "ms_pacman")
    with zipfile.ZipFile(tmp_path / "qrdqn.zip") as archive:
        (tmp_path / "policy.pth").write_bytes(archive.read("policy.pth"))
    with pytest.raises(ModelFileError, match="found 300: 50 an action, as of C51 or QR-DQN"):
        import_teacher(tmp_path / "policy.pth", "pong")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (Dueling(("first", "second")).state_dict(), "whose layers are not called value and advantage"),
        (Dueling(("advantage", "baseline")).state_dict(), "a dueling network"),
        ({key: value for key, value in Dueling().state_dict().items() if key != "streams.value.2.bias"}, "dueling"),
        (plain() | {"value.weight": torch.ones(1, 512), "value.bias": torch.ones(1)}, "a dueling network"),
    ],
)  # fmt: skip
def test_streams_that_cannot_be_told_apart(state: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "q.pth", state)
    with pytest.raises(ModelFileError, match=message):
        import_teacher(path, "pong")
