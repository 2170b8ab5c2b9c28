"""The Q-networks of the paper: one convolutional trunk, and a controller (the game's own output layers) per game."""

import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.architectures import PADS, Architecture
from distill.errors import DistillError
from distill.games import OBSERVATION_SHAPE, STACK

PIXEL_LIMIT = 5.0
"""How far from 0 a standardized pixel may be."""


class QNetwork(nn.Module):
    """A trunk shared by all games and one controller per game.

    Layers before a ReLU begin with He's weights (He et al. 2015) and no bias, the last one as PyTorch does by default.
    PyTorch's weights shrink a signal to 0.4 of its size per layer. Steps then move the constant background of a game
    further than what happens before it, and most ReLUs of the first layer die: docs/online.md, "Networks that die".

    Args:
        architecture: sizes of the layers.
        actions: number of actions of every game, in the order in which games are listed.
    """

    def __init__(self, architecture: Architecture, actions: Mapping[str, int]) -> None:
        super().__init__()
        first, second, third = architecture.channels
        self.architecture = architecture
        self.actions = dict(actions)
        if architecture.pixels == "standardized":
            self.register_buffer("pixel_mean", torch.zeros(OBSERVATION_SHAPE))
            self.register_buffer("pixel_scale", torch.ones(OBSERVATION_SHAPE))
        self.conv1 = nn.Conv2d(STACK, first, 8, stride=4)
        self.conv2 = nn.Conv2d(first, second, 4, stride=2)
        self.conv3 = nn.Conv2d(second, third, 3)
        self.fc = nn.Linear(architecture.features, architecture.hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(list(shape), architecture.epsilon) for shape in architecture.normalized)
        self.heads = nn.ModuleDict({game: _controller(architecture, count) for game, count in actions.items()})
        for layer in (self.conv1, self.conv2, self.conv3, self.fc):
            _initialise_before_relu(layer)
        for game in actions:
            for layer in self.controller(game)[:-1]:
                _initialise_before_relu(layer)

    def forward(self, observations: Tensor, game: str) -> Tensor:
        """Return the q-values of a minibatch of one game.

        The trunk computes in the dtype of a surrounding `torch.autocast`. The last layer always computes in float32,
        because a sharp softmax multiplies its errors by up to 1000.

        Args:
            observations: [B, 4, 84, 84] uint8 in any memory format.
            game: picks the controller.

        Returns:
            [B, A] float32.

        Raises:
            DistillError: if the network has no controller for `game`.
        """
        device = observations.device.type
        x = self._activated(self._first(observations), 0)
        x = self._activated(self.conv2(self._padded(x, 1)), 1)
        x = self._activated(self.conv3(self._padded(x, 2)), 2)
        x = self._activated(self.fc(x.flatten(1)), 3)
        *hidden, last = self.controller(game)
        for layer in hidden:
            x = self._activation(layer(x))
        with torch.autocast(device, enabled=False):
            return self._outputs(F.linear(x.float(), last.weight, last.bias))

    def _first(self, observations: Tensor) -> Tensor:
        """Return what the first convolution makes of [B, 4, 84, 84] uint8."""
        weight = self.conv1.weight
        if self.architecture.pixels == "standardized":
            mean, scale = self.get_buffer("pixel_mean"), self.get_buffer("pixel_scale")
            pixels = (observations.to(weight.dtype) * (1 / 255) - mean) * scale
            return self.conv1(self._padded(pixels.clamp(-PIXEL_LIMIT, PIXEL_LIMIT), 0))
        device = observations.device.type
        autocast = torch.is_autocast_enabled(device)
        pixels = observations.to(torch.get_autocast_dtype(device) if autocast else weight.dtype)
        # 0 to 255 are exact in bfloat16, so scaling the small weight instead of the pixels saves a pass over them.
        return F.conv2d(self._padded(pixels, 0), weight * (1 / 255), self.conv1.bias, self.conv1.stride)

    def _padded(self, x: Tensor, index: int) -> Tensor:
        """Return a convolution's input [B, C, H, W] with the zeros around it that the convolution reads."""
        return x if self.architecture.padding == "valid" else F.pad(x, PADS[index] * 2)

    def _activated(self, x: Tensor, index: int) -> Tensor:
        """Return what a layer of the trunk gives, normalized if it is, through the activation."""
        if self.architecture.normalization == "layer":
            x = self.norms[index](x)
        elif self.architecture.normalization == "channels":
            x = self.norms[index](x.movedim(1, -1)).movedim(-1, 1)
        return self._activation(x)

    def _activation(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.architecture.activation == "relu" else F.elu(x)

    def _outputs(self, last: Tensor) -> Tensor:
        """Return q-values [B, A] of what the last layer gives, [B, A] or the logits of returns, [B, A * atoms]."""
        support = self.architecture.support
        if support is None:
            return last
        returns = torch.linspace(support.low, support.high, support.atoms, device=last.device)
        return last.view(len(last), -1, support.atoms).softmax(2) @ returns

    def controller(self, game: str) -> list[nn.Linear]:
        """Return the game's own linear layers, with a ReLU between each and the next.

        Raises:
            DistillError: if the network has none for `game`.
        """
        if game not in self.heads:
            raise DistillError(f"game {game!r}: this network plays {', '.join(self.actions)}")
        return [layer for layer in self.heads[game].children() if isinstance(layer, nn.Linear)]

    def parameter_count(self) -> int:
        """Return the number of parameters of the trunk and all controllers."""
        return sum(parameter.numel() for parameter in self.parameters())


def _controller(architecture: Architecture, actions: int) -> nn.ModuleList:
    outputs = actions if architecture.support is None else actions * architecture.support.atoms
    if architecture.controller_hidden is None:
        sizes = [architecture.hidden, outputs]
    else:
        sizes = [architecture.hidden, architecture.controller_hidden, outputs]
    return nn.ModuleList(nn.Linear(size, following) for size, following in itertools.pairwise(sizes))


def _initialise_before_relu(layer: nn.Conv2d | nn.Linear) -> None:
    # Weights that are yet to be loaded need no values, for which PyTorch would import its compiler: a second.
    if layer.weight.is_meta:
        return
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.get_parameter("bias"))
