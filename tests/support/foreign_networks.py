"""Networks of other libraries, and the files that these write."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN
from torch import Tensor, nn


class CleanRLQNetwork(nn.Module):
    """As cleanrl/dqn_atari.py defines it."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3136, 512),
            nn.ReLU(),
            nn.Linear(512, actions),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255.0)


class PlainNetwork(nn.Module):
    """Layers of other sizes under other names, registered from the last to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.middle = nn.Linear(200, 4), nn.Linear(16 * 49, 200)
        self.c, self.b, self.a = nn.Conv2d(24, 16, 3), nn.Conv2d(8, 24, 4, 2), nn.Conv2d(4, 8, 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x / 255))))))
        return self.out(torch.relu(self.middle(x.flatten(1))))


def trunk() -> nn.Sequential:
    """Return three convolutions with their ReLUs, flattened to 3136 values."""
    layers = nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3)
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())), nn.Flatten())


class NoisyLinear(nn.Module):
    """As Fortunato et al. (2018) define it, without noise, as an agent acts that is evaluated."""

    def __init__(self, inputs: int, outputs: int, names: tuple[str, str, str]) -> None:
        super().__init__()
        self.names = names
        weight = nn.Linear(inputs, outputs)
        mean, spread, noise = names
        for part, value in (("weight", weight.weight), ("bias", weight.bias)):
            self.register_parameter(mean.format(part), nn.Parameter(value.detach()))
            self.register_parameter(spread.format(part), nn.Parameter(torch.full_like(value, 0.1)))
            self.register_buffer(noise.format(part), torch.randn_like(value))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.names[0]
        return nn.functional.linear(x, getattr(self, mean.format("weight")), getattr(self, mean.format("bias")))


def stream(hidden: int, outputs: int) -> nn.Sequential:
    """Return the two layers of one stream of a dueling network."""
    return nn.Sequential(nn.Linear(3136, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Dueling(nn.Module):
    """As Wang et al. (2016) define it: each stream has a hidden layer of its own."""

    def __init__(self, names: tuple[str, str] = ("advantage", "value"), sizes: tuple[int, int] = (512, 512)) -> None:
        super().__init__()
        self.features = trunk()
        self.streams = nn.ModuleDict({names[0]: stream(sizes[0], 6), names[1]: stream(sizes[1], 1)})

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x / 255)
        advantage, value = (layer(features) for layer in self.streams.values())
        return value + advantage - advantage.mean(1, keepdim=True)


class SharedDueling(nn.Module):
    """Both streams read one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.advantage = nn.Linear(512, 1), nn.Linear(512, 6)
        self.features = trunk()
        self.fc = nn.Linear(3136, 512)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.fc(self.features(x / 255)))
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(1, keepdim=True)


class Noisy(nn.Module):
    def __init__(self, names: tuple[str, str, str]) -> None:
        super().__init__()
        self.net = nn.Sequential(trunk(), NoisyLinear(3136, 512, names), nn.ReLU(), NoisyLinear(512, 6, names))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / 255)


class CleanRLPQN(nn.Module):
    """As cleanrl/pqn_atari_envpool.py defines it."""

    def __init__(self, actions: int = 6) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.LayerNorm([32, 20, 20]),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.LayerNorm([64, 9, 9]),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1),
            nn.LayerNorm([64, 7, 7]),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3136, 512),
            nn.LayerNorm(512),
            nn.ReLU(),
            nn.Linear(512, actions),
        )
        for layer in self.network:
            if isinstance(layer, nn.LayerNorm):
                nn.init.normal_(layer.weight, 1.0, 0.2)
                nn.init.normal_(layer.bias, 0.0, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255.0)


class Pixels(gymnasium.Env[np.ndarray, Any]):
    """Observations as VecFrameStack and VecTransposeImage give them."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)

    def __init__(self, actions: int) -> None:
        self.action_space = spaces.Discrete(actions)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros((4, 84, 84), np.uint8), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros((4, 84, 84), np.uint8), 0.0, True, False, {}


def sb3(actions: int, **policy: Any) -> DQN:
    return DQN("CnnPolicy", Pixels(actions), buffer_size=2, device="cpu", seed=1, policy_kwargs=policy or None)


def saved(path: Path, value: object, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def plain() -> dict[str, Tensor]:
    return dict(CleanRLQNetwork(6).state_dict())
