"""Puts the layers of a DQN in the order of computation by their shapes, or says why these do not fit."""

import math
import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from distill.architectures import SIDES, Architecture, Padding
from distill.errors import ModelFileError
from distill.folds import Layer
from distill.games import STACK

Layout = Literal["torch", "flax"]
"""Libraries whose layers have the same shapes and another meaning."""

EXPECTED = "three convolutions 8x8, 4x4, 3x3 on 4 frames, then two linear layers"
KERNELS = ((8, 8), (4, 4), (3, 3))
_CHANNELS = {1: "one frame", 3: "one frame in RGB, or 3 frames", 12: "4 frames in RGB"}
_SHOWN = 16


def ordered(name: str, layers: Mapping[str, Layer], layout: Layout) -> tuple[dict[str, Layer], Padding]:
    """Return the five layers in the order of computation, and the padding of the convolutions.

    Args:
        name: of the file, for messages.
        layers: three convolutions and two linear layers, in any order.
        layout: of the library that they come from.

    Raises:
        ModelFileError: if their shapes do not fit each other.
    """
    for key, layer in layers.items():
        for part, tensor in layer.items():
            check_plain(name, f"{key}.{part}", tensor)
    weights = {key: layer["weight"] for key, layer in layers.items()}
    linear = [key for key in layers if weights[key].dim() == 2]
    # Larger kernels come first. The sort is stable, so misfits are compared in the file's order.
    convolutions = [key for key in layers if weights[key].dim() == 4]
    convolutions.sort(key=lambda key: -math.prod(weights[key].shape[2:]))
    # PyTorch pads both sides alike, and shapes do not tell how much; Flax pads as TensorFlow does.
    paddings: tuple[Padding, ...] = ("valid", "same") if layout == "flax" else ("valid",)
    features: dict[int, Padding] = {
        weights[convolutions[2]].shape[0] * SIDES[padding][2] ** 2: padding for padding in paddings
    }
    reads = [weights[key].shape[1] for key in linear]
    if reads[0] not in features and (reads[1] in features or reads[1] > reads[0]):
        linear.reverse()
    cells = weights[linear[0]].shape[1]
    order = [*convolutions, *linear]
    for key, kernel in zip(convolutions, KERNELS, strict=True):
        found = tuple(weights[key].shape[2:])
        if found != kernel:
            sizes = f"{found[0]}x{found[1]}, not {kernel[0]}x{kernel[1]}"
            raise misfit(name, f"layer {key} is a convolution of {sizes}", layers)
    channels = weights[order[0]].shape[1]
    if channels != STACK:
        raise misfit(name, f"layer {order[0]} reads {_CHANNELS.get(channels, f'{channels} channels')}", layers)
    if cells not in features:
        expected = " or ".join(map(str, features))
        raise misfit(
            name,
            f"layer {linear[0]} reads {cells} values, not {expected}: frames are not 84x84, or convolutions have other"
            " strides or padding",
            layers,
        )
    inputs = [STACK, *(weights[key].shape[0] for key in convolutions[:2]), cells, weights[linear[0]].shape[0]]
    for key, expected in zip(order, inputs, strict=True):
        if weights[key].shape[1] != expected:
            raise misfit(name, f"layer {key} reads {weights[key].shape[1]} inputs, not {expected}", layers)
        if "bias" not in layers[key] or layers[key]["bias"].shape != weights[key].shape[:1] or not weights[key].numel():
            raise misfit(name, f"layer {key} has no bias for each of its outputs", layers)
    return {key: layers[key] for key in order}, features[cells]


def normalizations(
    name: str, norms: Mapping[str, Layer], layers: Mapping[str, Layer], padding: Padding, layout: Layout
) -> tuple[Layer, ...]:
    """Return the normalizations of the first four layers in their order, none if there are none.

    PyTorch's LayerNorm has a weight for all that a layer gives of one frame, Flax's one for each channel.

    Args:
        name: of the file, for messages.
        norms: by name, in the file's order.
        layers: those of the network, in the order of computation.
        padding: of the convolutions.
        layout: of the library that they come from.

    Raises:
        ModelFileError: if they are not one for each of the first four layers.
    """
    if not norms:
        return ()
    first, second, third, hidden, _ = (int(layer["weight"].shape[0]) for layer in layers.values())
    kind = "channels" if layout == "flax" else "layer"
    wanted = Architecture("custom", (first, second, third), hidden, padding=padding, normalization=kind).normalized
    left = sorted(norms, key=_natural)
    found: list[Layer] = []
    for shape in wanted:
        fitting = [key for key in left if {tuple(part.shape) for part in norms[key].values()} == {shape}]
        if not fitting or norms[fitting[0]].keys() != {"weight", "bias"}:
            break
        left.remove(fitting[0])
        found.append(norms[fitting[0]])
    if left or len(found) < len(wanted):
        odd = left[0] if left else next(iter(norms))
        raise misfit(
            name,
            f"layer {odd} is neither a convolution nor linear; a LayerNorm is expected after each layer but the last,"
            f" of {', '.join(str(list(shape)) for shape in wanted)}",
            {**layers, **norms},
        )
    for layer in found:
        for part, tensor in layer.items():
            check_plain(name, f"normalization's {part}", tensor)
    return tuple(found)


def _natural(key: str) -> list[tuple[int, str]]:
    """Return what sorts `norm_10` behind `norm_9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def check_plain(name: str, key: str, tensor: Tensor) -> None:
    """Check that a tensor holds floats. Raises ModelFileError if it does not, or declares more than it stores."""
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        raise ModelFileError(f"{name}: tensor {key}: expected plain floats, found {tensor.dtype} {tensor.layout}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ModelFileError(f"{name}: tensor {key}: declares {list(tensor.shape)}, more than its stored bytes")


def misfit(name: str, reason: str, layers: Mapping[str, Layer]) -> ModelFileError:
    """Return the error that says why layers are no DQN, and what there is."""
    return ModelFileError(f"{name}: {reason}; expected {EXPECTED}; found {_shapes(layers)}")


def _shapes(layers: Mapping[str, Layer]) -> str:
    found = [f"{prefix}.{part} {list(t.shape)}" for prefix, layer in layers.items() for part, t in layer.items()]
    return (", ".join(found[:_SHOWN]) or "none") + (" ..." if len(found) > _SHOWN else "")
