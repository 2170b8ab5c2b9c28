"""The paper's networks by name and size; without PyTorch, for settings and for cards of model files."""

from dataclasses import dataclass
from typing import Literal

ArchitectureName = Literal["teacher", "net1", "net2", "net3", "one_percent", "multi3", "multi10"]
"""What a network can be called in settings; `ARCHITECTURES` has their sizes."""


@dataclass(frozen=True)
class Support:
    """The returns that a categorical network (C51, Bellemare et al. 2017) gives probabilities to.

    Attributes:
        low: the lowest.
        high: the highest.
        atoms: how many there are, evenly spaced.
    """

    low: float
    high: float
    atoms: int


@dataclass(frozen=True)
class Architecture:
    """Sizes of a Q-network.

    Attributes:
        name: key of `ARCHITECTURES`, or "custom" for an imported teacher of other sizes.
        channels: output channels of the convolutions 8x8/4, 4x4/2 and 3x3/1.
        hidden: units of the shared linear layer.
        controller_hidden: units of a game's own hidden layer; None where the controller is one linear layer.
        support: returns of which each output is the expectation; None where outputs are those of the last layer.
    """

    name: str
    channels: tuple[int, int, int]
    hidden: int
    controller_hidden: int | None = None
    support: Support | None = None


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("teacher", (32, 64, 64), 512),
        Architecture("net1", (16, 32, 32), 256),
        Architecture("net2", (16, 16, 16), 128),
        Architecture("net3", (16, 16, 16), 64),
        Architecture("one_percent", (8, 8, 8), 32),
        Architecture("multi3", (32, 64, 64), 512, 128),
        Architecture("multi10", (64, 64, 64), 1500, 128),
    )
}
