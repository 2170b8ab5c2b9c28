"""The paper's networks by name and size; without PyTorch, for settings and for cards of model files."""

from dataclasses import dataclass
from typing import Literal

ArchitectureName = Literal["teacher", "net1", "net2", "net3", "one_percent", "multi3", "multi10"]
"""What a network can be called in settings; `ARCHITECTURES` has their sizes."""


Padding = Literal["valid", "same"]
SIDES: dict[Padding, tuple[int, int, int]] = {"valid": (20, 9, 7), "same": (21, 11, 11)}
"""Sides of what the convolutions 8x8/4, 4x4/2 and 3x3/1 make of 84x84 frames."""
PADS = ((2, 2), (1, 2), (1, 1))
"""Zeros before and after a side of each convolution's input with the padding "same", as TensorFlow and JAX have it."""


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

    The paper's networks differ in the first four; the others are there for teachers that were trained elsewhere.

    Attributes:
        name: key of `ARCHITECTURES`, or "custom" for an imported teacher of other sizes.
        channels: output channels of the convolutions 8x8/4, 4x4/2 and 3x3/1.
        hidden: units of the shared linear layer.
        controller_hidden: units of a game's own hidden layer; None where the controller is one linear layer.
        pixels: what the first layer sees: pixels divided by 255, or these less the mean and over the deviation of each
            place, which the network keeps, at most 5 from 0.
        padding: of the convolutions, see `PADS`.
        normalization: of what each layer of the trunk gives before its activation: over all of it, or over the channels
            of each cell.
        activation: of all layers but the last.
        support: returns of which each output is the expectation; None where outputs are those of the last layer.
    """

    name: str
    channels: tuple[int, int, int]
    hidden: int
    controller_hidden: int | None = None
    pixels: Literal["scaled", "standardized"] = "scaled"
    padding: Padding = "valid"
    normalization: Literal["none", "layer", "channels"] = "none"
    activation: Literal["relu", "elu"] = "relu"
    support: Support | None = None

    @property
    def features(self) -> int:
        """Values that the shared linear layer reads."""
        return self.channels[2] * SIDES[self.padding][2] ** 2

    @property
    def epsilon(self) -> float:
        """What a normalization adds to the variance: PyTorch's for whole layers, Flax's for channels."""
        return 1e-6 if self.normalization == "channels" else 1e-5

    @property
    def normalized(self) -> tuple[tuple[int, ...], ...]:
        """Shapes over which the outputs of the trunk's four layers are normalized; none without normalization."""
        if self.normalization == "none":
            return ()
        if self.normalization == "channels":
            return (*((count,) for count in self.channels), (self.hidden,))
        sides = SIDES[self.padding]
        return (*((c, side, side) for c, side in zip(self.channels, sides, strict=True)), (self.hidden,))


@dataclass(frozen=True)
class Graph:
    """A network of any layers, as an ONNX graph in the model file: it labels and plays, and cannot be trained.

    Attributes:
        parameters: numbers in its weights.
        name: always "onnx".
    """

    parameters: int
    name: Literal["onnx"] = "onnx"


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
