"""Categorical networks (C51, Rainbow) give the q-values of the libraries that trained them, on real frames."""

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from distill.architectures import Architecture, Support
from distill.conversion import Told
from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.inference import make_q_function
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from distill.onnx_graph import export_onnx
from tests.support.foreign_categorical import AtariAgents, CleanRLC51, Rainbow
from tests.support.foreign_networks import saved
from tests.support.real_frames import assert_same, real_frames

State = dict[str, Tensor]
USUAL = Support(-10.0, 10.0, 51)
C51 = Architecture("custom", (32, 64, 64), 512, support=USUAL)


def beside_its_target(model: nn.Module) -> State:
    """Return what Tianshou saves: the network, a copy that lags behind, and the returns."""
    state = model.state_dict()
    copies = {f"{prefix}.{key}": value for prefix in ("model", "model_old") for key, value in state.items()}
    returns = copies.pop("model.atoms")
    del copies["model_old.atoms"]
    return copies | {"support": returns}


@pytest.mark.parametrize(
    ("model", "state", "support"),
    [
        (CleanRLC51(), lambda model: {"model_weights": model.state_dict(), "args": {"v_min": -10}}, None),
        (CleanRLC51(atoms=21, low=-1.0, high=5.0), beside_its_target, None),
        (CleanRLC51(), lambda model: model.network.state_dict(), USUAL),
        (CleanRLC51(), lambda model: model.state_dict(), USUAL),
        (AtariAgents(), lambda model: {"estimator_state": model.state_dict()}, None),
        (Rainbow(), lambda model: model.state_dict(), USUAL),
    ],
)
def test_the_expected_return_is_the_librarys(model: nn.Module, state, support, tmp_path: Path) -> None:
    with torch.no_grad():
        # The returns of a new network are all alike likely.
        for parameter in list(model.parameters())[-2:]:
            parameter.mul_(8.0)
    network, card = import_teacher(saved(tmp_path / "c51.pth", state(model)), "pong", Told(support))
    with torch.no_grad():
        assert_same(network, "pong", model(torch.from_numpy(real_frames("pong"))))
    source = card.training["imported_from"]
    assert not any("support" in name or "atoms" in name for name in source.get("left_out", ()))
    loaded, found = load_model(model_bytes(network, card))
    assert (loaded.architecture, found) == (network.architecture, card)
    frames = real_frames("pong")
    with torch.inference_mode():
        expected = network(torch.from_numpy(frames), "pong").numpy()
    np.testing.assert_allclose(make_q_function(loaded)(frames, "pong"), expected, rtol=0, atol=1e-5)


def test_formats_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "c51.pth", CleanRLC51().state_dict())
    assert import_teacher(path, "pong")[1].training["imported_from"]["format"] == "CleanRL c51_atari"
    _, card = import_teacher(saved(tmp_path / "rainbow.pth", Rainbow().state_dict()), "pong", Told(USUAL))
    assert card.training["imported_from"]["folded"] == [
        "noisy layers, by their means",
        "a dueling network, value and advantage in one",
    ]


@pytest.mark.parametrize(
    ("state", "support", "message"),
    [
        (CleanRLC51().network.state_dict(), None, "51 an action, as of C51 or .*, say .*--support -10 10 51"),
        (CleanRLC51().state_dict(), Support(-5.0, 5.0, 51), "expected -10 10 51, as the file says, found -5 5 51;"),
        (CleanRLC51(actions=4).state_dict(), None, "pong has 6 actions .*a last layer of 204 outputs, not 6 times 51"),
        (CleanRLC51(actions=4).network.state_dict(), Support(0.0, 1.0, 51), "of 204 outputs, not 6 times 51 returns"),
        (CleanRLC51().network.state_dict(), Support(0.0, 1.0, 50), "of 306 outputs, not 6 times 50 returns"),
        (CleanRLC51().state_dict() | {"atoms": torch.linspace(-10, 10, 51) ** 3}, None, "evenly spaced returns"),
        (CleanRLC51().state_dict() | {"atoms": torch.zeros(51)}, None, "evenly spaced returns"),
        (CleanRLC51().state_dict() | {"atoms": torch.full((51,), float("nan"))}, None, "evenly spaced returns"),
        (CleanRLC51().state_dict() | {"a.support": torch.linspace(0, 1, 51)}, None, "one support of returns, found"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(state: State, support: Support | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(saved(tmp_path / "c51.pth", dict(state)), "pong", Told(support))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hidden", [None, 16])
def test_an_exported_file_computes_the_expectation_of_every_game(hidden: int | None, tmp_path: Path) -> None:
    network = QNetwork(dataclasses.replace(C51, controller_hidden=hidden), {"pong": 6, "breakout": 4})
    export_onnx(tmp_path / "c51.onnx", network)
    session = onnxruntime.InferenceSession(tmp_path / "c51.onnx", providers=["CPUExecutionProvider"])
    frames = real_frames("breakout")
    for game, found in zip(network.actions, session.run(None, {"observations": frames}), strict=True):
        with torch.inference_mode():
            expected = network(torch.from_numpy(frames), game).numpy()
        assert expected.shape == (len(frames), network.actions[game])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_categorical_student_learns_in_any_precision() -> None:
    network = QNetwork(C51, {"pong": 6})
    x = torch.from_numpy(real_frames("pong"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(x, "pong")
    assert found.dtype == torch.float32
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    "support",
    [Support(1.0, 1.0, 51), Support(2.0, 1.0, 51), Support(0.0, 1.0, 1), Support(0.0, float("inf"), 51)],
)
def test_a_card_with_an_impossible_support_is_refused(support: Support) -> None:
    network = QNetwork(dataclasses.replace(C51, support=support), {"pong": 6})
    with pytest.raises(ModelFileError, match="expected a support of 2 to 65536 atoms"):
        model_bytes(network, ModelCard("teacher", network.architecture, network.actions))
