from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.architectures import ARCHITECTURES, Architecture, ArchitectureName
from distill.errors import DistillError
from distill.games import action_count
from distill.networks import QNetwork

TEN_GAMES = (
    "beam_rider",
    "breakout",
    "enduro",
    "freeway",
    "ms_pacman",
    "pong",
    "qbert",
    "riverraid",
    "seaquest",
    "space_invaders",
)


def observations(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 4, 84, 84), dtype=np.uint8))


def test_settings_name_the_networks_that_there_are() -> None:
    assert get_args(ArchitectureName) == tuple(ARCHITECTURES)


@pytest.mark.parametrize(
    ("name", "count"),
    [("teacher", 1_693_362), ("net1", 427_874), ("net2", 113_346), ("net3", 61_954), ("one_percent", 16_842)],
)
def test_parameter_counts_of_single_game_networks(name: str, count: int) -> None:
    assert QNetwork(ARCHITECTURES[name], {"any": 18}).parameter_count() == count


def test_parameter_counts_of_multi_game_networks() -> None:
    assert QNetwork(ARCHITECTURES["multi3"], {"freeway": 3, "pong": 3, "qbert": 6}).parameter_count() == 1_882_668
    actions = {game: action_count(game) for game in TEN_GAMES}
    assert QNetwork(ARCHITECTURES["multi10"], actions).parameter_count() == 6_757_108
    assert QNetwork(ARCHITECTURES["multi10"], actions | {"pong": 3}).parameter_count() == 6_756_721


@pytest.mark.parametrize("name", ["net3", "multi3"])
def test_forward_is_the_papers_network(name: str) -> None:
    network = QNetwork(ARCHITECTURES[name], {"pong": 6, "breakout": 4})
    x = observations(3)
    y = x.float() / 255
    for layer in (network.conv1, network.conv2, network.conv3):
        y = F.relu(layer(y))
    y = F.relu(network.fc(y.flatten(1)))
    layers = network.controller("breakout")
    assert [layer.out_features for layer in layers] == ([4] if name == "net3" else [128, 4])
    for layer in layers[:-1]:
        y = F.relu(layer(y))
    torch.testing.assert_close(network(x, "breakout"), layers[-1](y), rtol=0, atol=1e-6)


def test_the_game_picks_the_controller() -> None:
    network = QNetwork(ARCHITECTURES["multi3"], {"pong": 6, "qbert": 6})
    x = observations(2)
    before = network(x, "pong"), network(x, "qbert")
    assert not torch.equal(*before)
    with torch.no_grad():
        network.controller("qbert")[-1].bias += 1
    torch.testing.assert_close(network(x, "qbert"), before[1] + 1)
    assert torch.equal(network(x, "pong"), before[0])
    with pytest.raises(DistillError, match=r"'enduro'.*pong, qbert"):
        network(x, "enduro")


def test_memory_formats_agree() -> None:
    network = QNetwork(ARCHITECTURES["net2"], {"pong": 6})
    x = observations(4)
    expected = network(x, "pong")
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(last, "pong"), expected, rtol=0, atol=1e-6)
    network.to(memory_format=torch.channels_last)
    for value in (x, last):
        torch.testing.assert_close(network(value, "pong"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["teacher", "multi3"])
def test_under_autocast_the_trunk_is_bfloat16_and_the_last_layer_float32(name: str) -> None:
    network = QNetwork(ARCHITECTURES[name], {"pong": 6})
    inputs: list[torch.dtype] = []
    network.fc.register_forward_hook(lambda _module, _inputs, output: inputs.append(output.dtype))
    x = observations(8)
    expected = network(x, "pong")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(x, "pong")
    assert inputs == [torch.float32, torch.bfloat16]
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float()), "rounded to bfloat16 after all"
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)
    found.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_gradients_are_those_of_scaled_pixels() -> None:
    network = QNetwork(ARCHITECTURES["net3"], {"pong": 6})
    x = observations(2)
    network(x, "pong").square().sum().backward()
    found = network.conv1.weight.grad
    weight = network.conv1.weight.detach().clone().requires_grad_()
    y = F.relu(F.conv2d(x.float() / 255, weight, network.conv1.bias, 4))
    y = F.relu(network.conv3(F.relu(network.conv2(y)))).flatten(1)
    network.controller("pong")[0](F.relu(network.fc(y))).square().sum().backward()
    assert found is not None
    assert weight.grad is not None
    torch.testing.assert_close(found, weight.grad, rtol=1e-4, atol=1e-6 * float(weight.grad.abs().max()))


def test_other_sizes_are_plain_values() -> None:
    network = QNetwork(Architecture("custom", (32, 64, 64), 200), {"pong": 6})
    assert network(observations(1), "pong").shape == (1, 6)


@pytest.mark.parametrize("name", ["teacher", "one_percent", "multi3"])
@torch.inference_mode()
def test_the_layers_of_a_new_network_keep_the_size_of_a_signal(name: str) -> None:
    torch.manual_seed(1)
    network = QNetwork(ARCHITECTURES[name], {"pong": 6})
    x = observations(16).float() / 255
    before = float(x.square().mean())
    for layer in (network.conv1, network.conv2, network.conv3, network.fc, *network.controller("pong")[:-1]):
        if layer is network.fc:
            x = x.flatten(1)
        x = F.relu(layer(x))
        assert 0.3 * before < float(x.square().mean()) < 3 * before
        assert not layer.bias.any()
