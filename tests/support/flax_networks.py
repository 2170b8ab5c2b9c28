"""Networks of Flax to the layout of the libraries that use it, what they compute, and the files that it writes."""

from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.architectures import SIDES, Padding

Arrays = dict[str, dict[str, npt.NDArray[Any]]]


def flax_network(actions: int = 6, dtype: str = "float32", *, padding: Padding = "valid") -> Arrays:
    """Return the parameters of cleanrl/dqn_atari_jax.py's QNetwork: kernels [h, w, in, out] and [in, out].

    With the padding "same" these are the parameters of Dopamine's NatureDQNNetwork (jax/networks.py).
    """
    random = np.random.default_rng(1)

    def layer(*shape: int) -> dict[str, npt.NDArray[Any]]:
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        return {
            "kernel": (random.standard_normal(shape) * scale).astype(dtype),
            "bias": random.standard_normal(shape[-1]).astype(dtype),
        }

    return {
        "Conv_0": layer(8, 8, 4, 32),
        "Conv_1": layer(4, 4, 32, 64),
        "Conv_2": layer(3, 3, 64, 64),
        "Dense_0": layer(64 * SIDES[padding][2] ** 2, 512),
        "Dense_1": layer(512, actions),
    }


def with_norms(network: Arrays) -> Arrays:
    """Return a network with the LayerNorms of purejaxql's PQN, which have a scale and a bias for each channel."""
    random = np.random.default_rng(2)
    sizes = [network[name]["bias"].shape[0] for name in ("Conv_0", "Conv_1", "Conv_2", "Dense_0")]
    return network | {
        f"LayerNorm_{index}": {
            "scale": random.uniform(0.5, 1.5, size).astype("float32"),
            "bias": random.standard_normal(size).astype("float32"),
        }
        for index, size in enumerate(sizes)
    }


def q_values(network: Arrays, frames: npt.NDArray[np.uint8], *, padding: Padding = "valid") -> Tensor:
    """Compute what Flax computes, with channels last: Conv, LayerNorm if there is one, Dense as x @ kernel."""
    x = torch.from_numpy(frames).permute(0, 2, 3, 1).double() / 255
    for index, stride in enumerate((4, 2, 1)):
        layer = {part: torch.from_numpy(array).double() for part, array in network[f"Conv_{index}"].items()}
        if padding == "same":
            x = _padded_as_tensorflow_does(x, layer["kernel"].shape[0], stride)
        # [B, rows, columns, in, h, w] against [h, w, in, out].
        patches = x.unfold(1, layer["kernel"].shape[0], stride).unfold(2, layer["kernel"].shape[1], stride)
        x = torch.einsum("brcihw,hwio->brco", patches, layer["kernel"]) + layer["bias"]
        x = torch.relu(_normalized(network, x, index))
    x = x.flatten(1)
    for name in ("Dense_0", "Dense_1"):
        x = x @ torch.from_numpy(network[name]["kernel"]).double() + torch.from_numpy(network[name]["bias"])
        x = torch.relu(_normalized(network, x, 3)) if name == "Dense_0" else x
    return x.float()


def _padded_as_tensorflow_does(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return [B, H, W, C] with zeros around, so that a side of S becomes one of S / stride, rounded up."""
    side = x.shape[1]
    missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    before, after = missing // 2, missing - missing // 2
    return torch.nn.functional.pad(x, (0, 0, before, after, before, after))


def _normalized(network: Arrays, x: Tensor, index: int) -> Tensor:
    norm = network.get(f"LayerNorm_{index}")
    if norm is None:
        return x
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    scale, bias = (torch.from_numpy(norm[part]).double() for part in ("scale", "bias"))
    return (x - mean) / torch.sqrt(variance + 1e-6) * scale + bias


def packed(value: Any) -> bytes:
    """Pack as flax.serialization.to_bytes does: an array is ext 1 of [shape, name of the dtype, bytes]."""

    def extension(array: npt.NDArray[Any]) -> msgpack.ExtType:
        return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))

    return msgpack.packb(value, default=extension)
