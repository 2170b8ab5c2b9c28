"""The running average of a network's weights, which plays better and swings less than the newest ones."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from distill.networks import QNetwork

_Step = Callable[[list[torch.Tensor], list[torch.Tensor], int], None]
EVERY = 16
"""Updates between two steps of the average, each of which reads and writes all weights."""


class WeightAverage:
    """An exponential moving average of a network's weights over its updates (Polyak and Juditsky 1992).

    Args:
        network: the network that is trained, on its device.
        decay: share of the average that one update keeps; its memory is about 1 / (1 - decay) updates.
    """

    def __init__(self, network: QNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        """The network with the averaged weights."""
        self._trained: list[torch.Tensor] = list(network.parameters())
        self._averaged: list[torch.Tensor] = list(self.network.parameters())
        self._step = cast(_Step, get_ema_multi_avg_fn(decay**EVERY))

    def follow(self, updates: int) -> None:
        """Take in the weights after `updates` updates, if it is time for a step."""
        if updates % EVERY == 0:
            # The last argument is not used by an exponential average.
            self._step(self._averaged, self._trained, 0)
