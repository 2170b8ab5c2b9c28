"""Categorical networks (C51, Rainbow) of other libraries."""

import torch
from torch import Tensor, nn

from tests.support.foreign_networks import NoisyLinear, trunk


def probabilities(logits: Tensor, atoms: int) -> Tensor:
    """Return the softmax over the returns of each action, [B, A, atoms]."""
    return logits.view(len(logits), -1, atoms).softmax(2)


class CleanRLC51(nn.Module):
    """As cleanrl/c51_atari.py defines it."""

    def __init__(self, actions: int = 6, atoms: int = 51, low: float = -10.0, high: float = 10.0) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.linspace(low, high, steps=atoms))
        self.network = nn.Sequential(*trunk(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions * atoms))

    def forward(self, x: Tensor) -> Tensor:
        atoms = self.get_buffer("atoms")
        return (probabilities(self.network(x / 255.0), len(atoms)) * atoms).sum(2)


class AtariAgents(nn.Module):
    """To the layout of the C51 files of floringogianu/atari-agents."""

    def __init__(self) -> None:
        super().__init__()
        self.__support = nn.Parameter(torch.linspace(-10, 10, 51), requires_grad=False)
        self.__features = trunk()[:-1]
        self.__head = nn.Sequential(nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6 * 51))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.__head(self.__features(x.float().div(255)).flatten(1))
        return torch.mul(probabilities(logits, 51), self.__support).sum(2)


class Rainbow(nn.Module):
    """To the layout of Kaixhin/Rainbow, whose file does not hold the returns: dueling, noisy and categorical."""

    def __init__(self) -> None:
        super().__init__()
        names = ("{}_mu", "{}_sigma", "{}_epsilon")
        self.convs = trunk()
        self.fc_h_v, self.fc_h_a = NoisyLinear(3136, 512, names), NoisyLinear(3136, 512, names)
        self.fc_z_v, self.fc_z_a = NoisyLinear(512, 51, names), NoisyLinear(512, 6 * 51, names)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x / 255)
        value = self.fc_z_v(torch.relu(self.fc_h_v(x))).view(-1, 1, 51)
        advantage = self.fc_z_a(torch.relu(self.fc_h_a(x))).view(-1, 6, 51)
        return ((value + advantage - advantage.mean(1, keepdim=True)).softmax(2) * torch.linspace(-10, 10, 51)).sum(2)
