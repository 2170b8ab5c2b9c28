"""Which of a file's tensors are taken for the network, and what is said about files without a plain DQN."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from distill.errors import ModelFileError
from distill.importing import import_teacher
from tests.support.foreign_networks import CleanRLQNetwork, plain, saved, sb3

State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def layers(**modules: nn.Module) -> State:
    return dict(nn.ModuleDict(modules).state_dict())


def trunk() -> State:
    return {key: value for key, value in plain().items() if not key.startswith("network.9.")}


@pytest.mark.parametrize(
    ("online", "target"),
    [
        ("model.", "model_old."),
        ("q_net.", "q_net_target."),
        ("q_net.", "Target."),
        ("Q.", "targetQ."),
        ("policy_net.", "target_net."),
        ("eval_net.", "target_net."),
        ("qnetwork_local.", "qnetwork_target."),
        ("net.", "tgt_net."),
        ("module.online.", "module.TARGET."),
        ("online.module.", "q_targ.module."),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_network_is_taken_and_not_its_target(online: str, target: str, nested: bool, tmp_path: Path) -> None:
    network, lagging = plain(), plain()
    content: dict[str, Any] = {}
    for prefix, state in ((target, lagging), (online, network)):
        content |= {prefix.rstrip("."): state} if nested else under(prefix, state)
    found, card = import_teacher(saved(tmp_path / "q.pth", content), "pong")
    assert torch.equal(found.conv1.weight, network["network.0.weight"])
    assert torch.equal(found.controller("pong")[0].bias, network["network.9.bias"])
    source = card.training["imported_from"]
    assert (source["prefix"], source["left_out"]) == (f"{online}network", [f"{target}network"])


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda state: state, "network"),
        (lambda state: under("module.", state), "module.network"),
        (lambda state: under("_orig_mod.", state), "_orig_mod.network"),
        (lambda state: under("_orig_mod.module.", state), "_orig_mod.module.network"),
        (lambda state: {"target": state}, "target.network"),
        (lambda state: {"a": {"b": {"c": [3, state]}}}, "a.b.c.1.network"),
        (lambda state: {"epoch": 3, "model": state, "optimizer": adam(), "loss": 0.1}, "model.network"),
        (
            lambda state: {
                "pytorch-lightning_version": "2.5",
                "state_dict": under("net.", state),
                "callbacks": {"ModelCheckpoint": {"best": Path("x")}},
                "optimizer_states": [adam()],
            },
            "state_dict.net.network",
        ),
        (lambda state: {"args": argparse.Namespace(seed=1), "best": np.float64(3), "q": state}, "q.network"),
        (lambda state: {"q": {key: nn.Parameter(value) for key, value in state.items()}}, "q.network"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_the_network_is_found_in_whatever_it_is_wrapped(
    wrap: Callable[[State], Any], prefix: str, new: bool, tmp_path: Path
) -> None:
    state = plain()
    path = saved(tmp_path / "q.pth", wrap(state), _use_new_zipfile_serialization=new)
    network, card = import_teacher(path, "pong")
    assert torch.equal(network.fc.weight, state["network.7.weight"])
    assert card.training["imported_from"]["prefix"] == prefix
    assert card.training["imported_from"]["format"] == "CleanRL dqn_atari"


def adam() -> dict[str, Any]:
    model = CleanRLQNetwork(6)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 4, 84, 84)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def test_counters_and_statistics_are_left_out_and_named(tmp_path: Path) -> None:
    beside = {"num_timesteps": torch.tensor(5), "obs_rms.mean": torch.zeros(4), "obs_rms.running_mean": torch.ones(2)}
    for path in (saved(tmp_path / "q.pth", plain() | beside), tmp_path / "q.safetensors"):
        if not path.exists():
            safetensors.torch.save_file(plain() | beside, path)
        _, card = import_teacher(path, "pong")
        assert set(card.training["imported_from"]["left_out"]) == set(beside)


def test_the_policy_of_a_stable_baselines3_zip_without_its_zip(tmp_path: Path) -> None:
    model = sb3(6)
    network, card = import_teacher(saved(tmp_path / "policy.pth", model.policy.state_dict()), "pong")
    assert torch.equal(network.fc.weight, model.q_net.features_extractor.linear[0].weight)
    assert card.training["imported_from"]["prefix"] == "q_net"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("new", [True, False])
def test_every_kind_of_float_and_of_view_is_read(dtype: torch.dtype, new: bool, tmp_path: Path) -> None:
    state = {key: value.to(dtype) for key, value in plain().items()}
    whole = torch.cat([torch.zeros(7, dtype=dtype), state["network.7.weight"].t().flatten()])
    state["network.7.weight"] = whole[7:].view(3136, 512).t()
    path = saved(tmp_path / "q.pth", state, _use_new_zipfile_serialization=new)
    loaded = torch.load(path, weights_only=True)
    network, _ = import_teacher(path, "pong")
    assert torch.equal(network.fc.weight, loaded["network.7.weight"].float())
    assert torch.equal(network.conv2.bias, loaded["network.2.bias"].float())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (under("q.", plain()) | layers(v=nn.Linear(512, 1)), "a dueling network"),
        (trunk() | {"Q.weight": torch.ones(6, 512), "V.weight": torch.ones(1, 512)}, "a dueling network"),
        (trunk() | {"network.9.weight_mu": torch.ones(6, 512)}, r"network\.9 has no bias"),
        (dict(CleanRLQNetwork(6 * 51).state_dict()), "found 306: 51 an action, as of C51 or QR-DQN"),
        (dict(CleanRLQNetwork(18).state_dict()), "found 18, ALE's full set; train with full_action_space=False"),
        (dict(CleanRLQNetwork(4).state_dict()), r"pong has 6 actions \(ALE's minimal set\), found 4$"),
        (plain() | layers(critic=nn.Linear(512, 1)), "an actor-critic, whose actor cannot be told from its critic"),
        (plain() | layers(lstm=nn.LSTM(512, 64)), "a recurrent layer, lstm: not supported"),
        (plain() | layers(gru=nn.GRUCell(512, 64)), "a recurrent layer, gru"),
        (plain() | {"network.0.weight": torch.ones(32, 3, 8, 8)}, r"layer network\.0 reads one frame in RGB"),
        (plain() | {"network.0.weight": torch.ones(32, 12, 8, 8)}, "reads 4 frames in RGB"),
        (plain() | {"network.0.weight": torch.ones(32, 1, 8, 8)}, r"layer network\.0 reads one frame;"),
        (plain() | {"network.0.weight": torch.ones(32, 2, 8, 8)}, "reads 2 channels"),
        (
            plain() | {"network.2.weight": torch.ones(64, 32, 5, 5)},
            r"network\.2 is a convolution of 5x5, not 4x4",
        ),
        (plain() | {"network.7.weight": torch.ones(512, 2304)}, "reads 2304 values, not 3136: frames are not 84x84"),
        (plain() | under("network.1.", dict(nn.BatchNorm2d(32).state_dict())), r"batch normalisation, network\.1"),
        (
            plain() | layers(norm=nn.LayerNorm(512)),
            "layer norm is neither a convolution nor linear; a LayerNorm is expected",
        ),
        (
            plain() | under("network.8.", dict(nn.LayerNorm(512).state_dict())),
            r"layer network\.8 is neither a convolution nor linear",
        ),
        (plain() | {"network.9.weight_orig": torch.ones(2)}, "a reparametrised weight"),
        ({key: value for key, value in plain().items() if key != "network.4.bias"}, r"network\.4 has no bias"),
        (layers(a=nn.Linear(4, 64), b=nn.Linear(64, 6)), "no convolutions and 2 linear layers.*reads numbers"),
        (layers(a=nn.Conv2d(4, 16, 8), b=nn.Linear(16, 6)), "1 convolutions and 1 linear layers"),
        ({"a": torch.ones(3)}, "no tensors called weight and bias"),
        (plain() | {"network.0.weight": torch.ones(32, 4, 0, 0)}, "expected three convolutions"),
    ],
)
def test_what_is_no_plain_dqn_is_told_apart(state: State, message: str, tmp_path: Path) -> None:
    for path in (saved(tmp_path / "q.pth", state), tmp_path / "q.safetensors"):
        if not path.exists():
            safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, path)
        with pytest.raises(ModelFileError, match=message) as caught:
            import_teacher(path, "pong")
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({key: value.numpy() for key, value in plain().items()}, "found arrays of NumPy .*torch.from_numpy"),
        (
            CleanRLQNetwork(6),
            "found tests.support.foreign_networks.CleanRLQNetwork; other Python objects can run code",
        ),
        ({"model": nn.Linear(2, 2), "step": torch.ones(2)}, "it also holds torch.nn.modules.linear.Linear"),
        (
            {"best": plain(), "last": plain()},
            r"found 2 of them, under best\.network, last\.network",
        ),
    ],
)
def test_what_else_torch_save_may_have_written(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(saved(tmp_path / "q.pth", content), "pong")
    assert "weights_only" not in str(caught.value)
