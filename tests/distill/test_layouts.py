"""Networks that pad, normalize, standardize or have another activation: imported, exported and trained alike."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import safetensors.numpy
import torch
from torch import Tensor, nn

from distill.architectures import Architecture, Support
from distill.config import StudentConfig
from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.inference import make_q_function
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from distill.onnx_graph import export_onnx
from learner.label_replay import LabelReplay
from learner.student_updater import StudentUpdater
from tests.support.flax_networks import flax_network, packed, q_values, with_norms
from tests.support.foreign_networks import CleanRLPQN, plain, saved
from tests.support.learnable_chunks import learnable_chunk, tiny_config
from tests.support.real_frames import assert_same, real_frames

Arrays = dict[str, dict[str, npt.NDArray[Any]]]


@pytest.mark.parametrize(
    "wrap", [lambda state: state, lambda state: {"target": {k: v + 1 for k, v in state.items()}, "q": state}]
)
def test_layer_norms_of_cleanrl(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    model = CleanRLPQN()
    network, card = import_teacher(saved(tmp_path / "pqn.pth", wrap(model.state_dict())), "pong")
    with torch.no_grad():
        assert_same(network, "pong", model(torch.from_numpy(real_frames("pong"))))
    assert card.architecture == Architecture("custom", (32, 64, 64), 512, normalization="layer")
    assert set(card.training["imported_from"].get("left_out", ())) <= {"target.network"}


@pytest.mark.parametrize("separator", [".", "/", ","])
def test_layer_norms_of_purejaxql(separator: str, tmp_path: Path) -> None:
    model = with_norms(flax_network())
    head = model.pop("Dense_1")
    # The trunk is a module of its own, and a batch normalization stands before it that reads nothing.
    idle = {"scale": np.ones(4, np.float32), "bias": np.zeros(4, np.float32)}
    modules = {f"CNN_0{separator}{name}": layer for name, layer in model.items()} | {
        "Dense_0": head,
        "BatchNorm_0": idle,
    }
    path = tmp_path / "pqn_atari.safetensors"
    flat = {f"{name}{separator}{part}": array for name, layer in modules.items() for part, array in layer.items()}
    safetensors.numpy.save_file(flat, path)
    network, card = import_teacher(path, "pong")
    assert_same(network, "pong", q_values(model | {"Dense_1": head}, real_frames("pong")))
    assert card.architecture.normalization == "channels"
    safetensors.numpy.save_file(flat | {f"BatchNorm_0{separator}scale": np.full(4, 0.5, np.float32)}, path)
    with pytest.raises(ModelFileError, match="batch normalisation, BatchNorm_0"):
        import_teacher(path, "pong")


@pytest.mark.parametrize("outputs", [6, 6 * 51])
def test_padding_of_dopamine(outputs: int, tmp_path: Path) -> None:
    model = flax_network(outputs, padding="same")
    content: Any = {"online_params": {"params": model}, "target_params": {"params": model}}
    content |= {"args": {"v_min": -10.0, "v_max": 10.0, "n_atoms": 51}} if outputs > 6 else {}
    path = tmp_path / "ckpt.msgpack"
    path.write_bytes(packed(content))
    network, card = import_teacher(path, "pong")
    expected = q_values(model, real_frames("pong"), padding="same")
    if outputs > 6:
        expected = (expected.view(-1, 6, 51).softmax(2) * torch.linspace(-10, 10, 51)).sum(2)
    assert_same(network, "pong", expected)
    assert card.architecture.padding == "same"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        # PyTorch pads alike on both sides, TensorFlow does not, and both give 11x11 cells.
        (
            plain() | {"network.7.weight": torch.ones(512, 7744)},
            "reads 7744 values, not 3136: .* other strides or padding",
        ),
        (
            {key: value for key, value in CleanRLPQN().state_dict().items() if ".11." not in key},
            "LayerNorm is expected",
        ),
        (CleanRLPQN().state_dict() | {"network.1.weight": torch.ones(32, 20, 19)}, "neither a convolution nor linear"),
        (CleanRLPQN().state_dict() | {"network.1.weight": torch.ones(32)}, "neither a convolution nor linear"),
        (
            {key: v for key, v in CleanRLPQN().state_dict().items() if key != "network.4.bias"},
            "a LayerNorm is expected",
        ),
        (CleanRLPQN(4).state_dict(), r"pong has 6 actions \(ALE's minimal set\), found 4"),
    ],
)
def test_layouts_that_cannot_be_told(state: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(saved(tmp_path / "q.pth", dict(state)), "pong")
    assert "\n" not in str(caught.value)


SMALL = Architecture("custom", (8, 16, 16), 32)
LAYOUTS = [
    dataclasses.replace(
        SMALL, pixels=pixels, padding=padding, normalization=norm, activation=activation, support=support
    )
    for (pixels, padding), (norm, activation, support) in itertools.product(
        (("scaled", "valid"), ("standardized", "same")),
        (("none", "elu", None), ("layer", "relu", Support(0.0, 1.0, 5)), ("channels", "elu", None)),
    )
]


def network_of(architecture: Architecture) -> QNetwork:
    torch.manual_seed(1)
    network = QNetwork(architecture, {"pong": 6, "breakout": 4})
    for name, tensor in network.state_dict().items():
        if name.startswith("norms."):
            nn.init.normal_(tensor, 1.0, 0.2)
    if architecture.pixels == "standardized":
        frames = torch.from_numpy(real_frames("pong")).float() / 255
        network.pixel_mean = frames.mean(0)
        network.pixel_scale = 1 / (frames.var(0) + 1e-5).sqrt()
    return network


@pytest.mark.parametrize("architecture", LAYOUTS)
def test_every_layout_is_saved_and_exported(architecture: Architecture, tmp_path: Path) -> None:
    network = network_of(architecture)
    card = ModelCard("teacher", architecture, network.actions)
    loaded, found = load_model(model_bytes(network, card))
    assert found == card
    frames = real_frames("breakout")
    export_onnx(tmp_path / "q.onnx", loaded)
    onnx.checker.check_model(str(tmp_path / "q.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "q.onnx", providers=["CPUExecutionProvider"])
    exported = session.run(None, {"observations": frames})
    for game, output in zip(network.actions, exported, strict=True):
        with torch.inference_mode():
            expected = network(torch.from_numpy(frames), game).numpy()
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(make_q_function(loaded)(frames, game), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", LAYOUTS)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_every_layout_learns(architecture: Architecture, dtype: torch.dtype | None) -> None:
    config = tiny_config({})
    replays = {game: LabelReplay(count, 2_048, 16, torch.device("cpu")) for game, count in {"pong": 6}.items()}
    for sequence in range(20):
        replays["pong"].append(learnable_chunk("pong", 6, sequence))
    settings, student = config.learner.optimization, StudentConfig(loss="mse")
    updater = StudentUpdater(network_of(architecture), replays, student, settings, torch.device("cpu"), dtype, 1)
    losses = [updater.update(0.0)[0] for _ in range(30)]
    assert all(update.finite for update in losses)
    assert losses[-1].loss < losses[0].loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padding": "reflect"}, "padding: expected valid or same, found 'reflect'"),
        ({"normalization": "batch"}, "normalization: expected none or layer or channels, found 'batch'"),
        ({"activation": ["relu"]}, r"activation: expected relu or elu, found \['relu'\]"),
        ({"pixels": None}, "pixels: expected scaled or standardized, found None"),
    ],
)
def test_cards_with_layouts_that_there_are_not(change: dict[str, Any], message: str) -> None:
    network = QNetwork(SMALL, {"pong": 6})
    card = ModelCard("teacher", SMALL, network.actions)
    changed = dataclasses.replace(card, architecture=dataclasses.replace(SMALL, **change))
    network.architecture = changed.architecture
    with pytest.raises(ModelFileError, match=message):
        model_bytes(network, changed)
