"""The table of all source formats in docs/teachers.md: each is imported, and compared with its own library's outputs.

After a change: `.venv/bin/pytest tests/distill/test_source_formats.py --renew-formats`, and look at the difference.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import safetensors.numpy
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, PPO
from torch import Tensor, nn

from distill.architectures import Support
from distill.conversion import Told
from distill.importing import import_teacher
from distill.inference import load_q_function
from distill.label_graph import LabelGraph, graph_bytes
from distill.models import model_bytes
from tests.support.flax_networks import flax_network, packed, q_values, with_norms
from tests.support.foreign_categorical import AtariAgents, CleanRLC51, Rainbow
from tests.support.foreign_graphs import foreign_graph, outputs_of
from tests.support.foreign_networks import (
    CleanRLPQN,
    CleanRLQNetwork,
    Dueling,
    Noisy,
    Pixels,
    saved,
    sb3,
)
from tests.support.foreign_policies import CleanRLAgent, SampleFactory, TwoTrunks
from tests.support.real_frames import real_frames

DOCUMENT = Path(__file__).parents[2] / "docs" / "teachers.md"
BEGIN, END = "<!-- formats -->", "<!-- /formats -->"
MOST = 1e-5
FILES = {"library": "made by it", "layout": "to its layout"}
GAME = "pong"


@dataclass(frozen=True)
class SourceFormat:
    """A row of the table.

    Attributes:
        name: what a user has.
        known: what it is recognised by.
        file: whether the library itself writes the file here.
        make: writes it under a path, and returns the path and the outputs of the original, [B, 6].
        told: what the file does not say.
    """

    name: str
    known: str
    file: Literal["library", "layout"]
    make: Callable[[Path], tuple[Path, Tensor]]
    told: Told | None = None


def state_of(model: nn.Module, wrap: Callable[[Mapping[str, Tensor]], Any] = dict) -> Callable[[Path], Any]:
    def make(path: Path) -> tuple[Path, Tensor]:
        with torch.no_grad():
            return saved(path, wrap(model.state_dict())), model(torch.from_numpy(real_frames(GAME)))

    return make


def dqn_zip(path: Path) -> tuple[Path, Tensor]:
    model = sb3(6)
    model.save(path)
    with torch.no_grad():
        return path, model.q_net(torch.from_numpy(real_frames(GAME)))


def qrdqn_zip(path: Path) -> tuple[Path, Tensor]:
    model = QRDQN("CnnPolicy", Pixels(6), buffer_size=2, device="cpu", policy_kwargs={"n_quantiles": 50})
    with torch.no_grad():
        # Quantiles of a new network cancel one another out.
        model.quantile_net.quantile_net[-1].bias += torch.linspace(0.0, 3.0, 300)
        model.save(path)
        return path, model.quantile_net(torch.from_numpy(real_frames(GAME))).mean(1)


def policy_zip(algorithm: Any) -> Callable[[Path], Any]:
    def make(path: Path) -> tuple[Path, Tensor]:
        policy = (model := algorithm("CnnPolicy", Pixels(6), device="cpu", n_steps=2)).policy
        with torch.no_grad():
            policy.action_net.weight.mul_(100.0)
            features = policy.pi_features_extractor(torch.from_numpy(real_frames(GAME)).float() / 255)
            model.save(path)
            return path, policy.action_net(policy.mlp_extractor.forward_actor(features))

    return make


def sample_factory(nonlinearity: str) -> Callable[[Path], Any]:
    def make(path: Path) -> tuple[Path, Tensor]:
        model = SampleFactory(nonlinearity)
        with torch.no_grad():
            return model.save(path), model(torch.from_numpy(real_frames(GAME)))

    return make


def flax_msgpack(path: Path) -> tuple[Path, Tensor]:
    model = flax_network()
    path.write_bytes(packed({"params": model}))
    return path, q_values(model, real_frames(GAME))


def flax_c51(path: Path) -> tuple[Path, Tensor]:
    model = flax_network(6 * 51)
    arguments = {"n_atoms": 51, "v_min": -10, "v_max": 10}
    path.write_bytes(packed({"model_weights": {"params": model}, "args": arguments}))
    logits = q_values(model, real_frames(GAME)).view(-1, 6, 51)
    return path, (logits.softmax(2) * torch.linspace(-10, 10, 51)).sum(2)


def dopamine(path: Path) -> tuple[Path, Tensor]:
    model = flax_network(padding="same")
    path.write_bytes(packed({"online_params": {"params": model}}))
    return path, q_values(model, real_frames(GAME), padding="same")


def purejaxql(path: Path) -> tuple[Path, Tensor]:
    model = with_norms(flax_network())
    trunk = {f"CNN_0,{name}": layer for name, layer in model.items() if name != "Dense_1"}
    layers = trunk | {"Dense_0": model["Dense_1"]}
    flat = {f"{name},{part}": array for name, layer in layers.items() for part, array in layer.items()}
    safetensors.numpy.save_file(flat, path)
    return path, q_values(model, real_frames(GAME))


def onnx_graph(kind: str, scale: Any, frames: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def make(path: Path) -> tuple[Path, Tensor]:
        model = foreign_graph(kind, scale)
        path.write_bytes(model.SerializeToString())
        return path, torch.from_numpy(outputs_of(model, frames(real_frames(GAME))))

    return make


USUAL = Told(Support(-10.0, 10.0, 51))
FORMATS = (
    SourceFormat("Stable-Baselines3 DQN zip (`CnnPolicy`)", "`policy.pth` with a `q_net`", "library", dqn_zip),
    SourceFormat("sb3-contrib QR-DQN zip (`CnnPolicy`)", "a `quantile_net`; quantiles' mean", "library", qrdqn_zip),
    SourceFormat("Stable-Baselines3 PPO zip (`CnnPolicy`)", "an `action_net`; logits", "library", policy_zip(PPO)),
    SourceFormat("Stable-Baselines3 A2C zip (`CnnPolicy`)", "an `action_net`; logits", "library", policy_zip(A2C)),
    SourceFormat("CleanRL `dqn_atari`", "keys `network.{0,2,4,7,9}`", "layout", state_of(CleanRLQNetwork(6))),
    SourceFormat("CleanRL `dqn_atari_jax`", "msgpack, arrays in Flax's layout", "layout", flax_msgpack),
    SourceFormat("CleanRL `c51_atari`", "its returns, `atoms`", "layout", state_of(CleanRLC51())),
    SourceFormat("CleanRL `c51_atari_jax`", "its arguments `v_min`, `v_max`, `n_atoms`", "layout", flax_c51),
    SourceFormat("CleanRL `pqn_atari_envpool`", "a LayerNorm behind each layer", "layout", state_of(CleanRLPQN())),
    SourceFormat("CleanRL `ppo_atari`", "layers called actor and critic; logits", "layout", state_of(CleanRLAgent())),
    SourceFormat("Tianshou PPO", "actor and critic with a trunk each; logits", "layout", state_of(TwoTrunks())),
    SourceFormat(
        "sample-factory `convnet_atari`, relu", "`action_parameterization`; logits", "layout", sample_factory("relu"),
    ),
    SourceFormat(
        "sample-factory `convnet_atari`, elu", "the same, by its `config.json`", "layout", sample_factory("elu"),
    ),
    SourceFormat("atari-agents C51", "its returns, `support`", "layout", state_of(AtariAgents())),
    SourceFormat("Kaixhin's Rainbow", "dueling, noisy, categorical; `--support`", "layout", state_of(Rainbow()), USUAL),
    SourceFormat("Dopamine (JAX), its parameters as msgpack", "7744 features: SAME padding", "layout", dopamine),
    SourceFormat("purejaxql PQN, safetensors", "Flax's LayerNorm, over channels", "layout", purejaxql),
    SourceFormat("any dueling network", "streams called value and advantage", "layout", state_of(Dueling())),
    SourceFormat(
        "any noisy network", "`weight_mu`, `sigma_weight`, ...; their means", "layout",
        state_of(Noisy(("{}_mu", "{}_sigma", "{}_epsilon"))),
    ),
    SourceFormat("ONNX, uint8", "one input, one output `q...` or `logits`", "layout",
                 onnx_graph("uint8", "divides", lambda frames: frames)),
    SourceFormat("ONNX, float, divides by 255", "the division", "layout",
                 onnx_graph("float32", "divides", lambda frames: frames.astype(np.float32))),
    SourceFormat("ONNX, float, pixels to 1", "`--pixels scaled`", "layout",
                 onnx_graph("float32", "none", lambda frames: frames.astype(np.float32) / 255), Told(pixels="scaled")),
)  # fmt: skip


def difference(row: SourceFormat, folder: Path) -> float:
    """Return the largest difference between the outputs of the native file and those of the original."""
    folder.mkdir()
    path, expected = row.make(folder / ("model.zip" if "zip" in row.name else "model"))
    network, card = import_teacher(path, GAME, row.told)
    data = graph_bytes(network, card) if isinstance(network, LabelGraph) else model_bytes(network, card)
    found = load_q_function(data)[0](real_frames(GAME), GAME)
    assert float(expected.abs().max()) > 1e-2, f"{row.name}: a comparison of zeros would prove nothing"
    assert card.labels == ("logits" if row.known.endswith("; logits") or "sample-factory" in row.name else "q-values")
    return float(np.abs(found - expected.numpy()).max())


def test_every_source_format_is_exact_and_documented(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(1)
    differences = [difference(row, tmp_path / str(number)) for number, row in enumerate(FORMATS)]
    wrong = {row.name: most for row, most in zip(FORMATS, differences, strict=True) if not most <= MOST}
    assert not wrong, f"outputs differ by more than {MOST:g}: {wrong}"
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    documented, after = rest.split(END)
    if request.config.getoption("renew_formats"):
        head = "| file | recognised by | the tests' file | largest difference |\n|---|---|---|---|\n"
        rows = (
            f"| {row.name} | {row.known} | {FILES[row.file]} | {most:.1e} |\n"
            for row, most in zip(FORMATS, differences, strict=True)
        )
        documented = f"\n{head}{''.join(rows)}"
        DOCUMENT.write_text(f"{before}{BEGIN}{documented}{END}{after}")
    found = re.findall(r"^\| (.+) \| (.+) \| (.+) \| ([\d.e+-]+) \|$", documented, re.MULTILINE)
    # Figures differ a little between machines.
    assert [row[:3] for row in found] == [(row.name, row.known, FILES[row.file]) for row in FORMATS], "--renew-formats"
    assert all(float(row[3]) <= MOST for row in found)
