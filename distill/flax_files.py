"""Reads networks of Flax (JAX): msgpack as `flax.serialization.to_bytes` writes it, and safetensors with Flax's names.

Nothing is built but arrays, which are views of the file's bytes. Layers come out as PyTorch has them: Flax keeps a
kernel as [height, width, in, out] or [in, out], and flattens pictures with their channels last.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import msgpack
import torch
from torch import Tensor

from distill.architectures import SIDES
from distill.card_architecture import MAX_UNITS
from distill.errors import ModelFileError
from distill.torch_files import printable

_MAX_NODES = 100_000
_MAX_DEPTH = 16
_ARRAY = 1
"""Ext type of an array: msgpack of [shape, name of the dtype, bytes] (flax/serialization.py)."""
_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "uint32": torch.int32,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
_KERNEL = "kernel"
_SCALE = "scale"
_LAST = (3, 3)
"""Sides of the last convolution's kernel."""
_RANGE = ("v_min", "v_max", "n_atoms")
"""Arguments of a C51 of CleanRL, beside whose parameters they are saved (cleanrl/c51_atari_jax.py)."""


def read_flax_file(name: str, data: bytes) -> dict[str, Tensor]:
    """Return the arrays of a msgpack file by their path with dots, as `torch_layers` returns them.

    Raises:
        ModelFileError: if it is damaged.
    """
    found: dict[str, Tensor] = {}
    walk = _Walk(name, data, found)
    try:
        walk.visit("", 0)
    except (ValueError, msgpack.UnpackException, RecursionError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{name}: truncated or damaged msgpack: {printable(str(error))}") from error
    if walk.left:
        raise ModelFileError(f"{name}: truncated or damaged msgpack: {walk.left} bytes follow its end")
    return torch_layers(found) | _supports(walk.numbers)


def torch_layers(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return arrays with Flax's kernels as PyTorch's weights, under the names that PyTorch gives them.

    Args:
        arrays: by names such as `params.Conv_0.kernel`, with dots or slashes; others are returned as they are.
    """
    last = [a.shape[3] for key, a in arrays.items() if _is_kernel(key) and a.dim() == 4 and a.shape[:2] == _LAST]
    flattened = {count * side**2: (count, side) for count in last for *_, side in SIDES.values()}
    layers: dict[str, Tensor] = {}
    for key, array in _without_idle(arrays).items():
        dotted = _dotted(key)
        if not _is_kernel(key):
            module = dotted.rpartition(".")[0].rpartition(".")[2]
            scales = dotted.endswith(f".{_SCALE}") and module.startswith("LayerNorm")
            layers[f"{dotted.removesuffix(_SCALE)}weight" if scales else dotted] = array
            continue
        if array.dim() == 4:
            weight = array.permute(3, 2, 0, 1)
        elif array.dim() == 2 and array.shape[0] in flattened:
            # The layer after the last convolution reads its cells with channels last; PyTorch has them first.
            count, side = flattened[array.shape[0]]
            weight = array.reshape(side, side, count, -1).permute(3, 2, 0, 1).flatten(1)
        else:
            weight = array.transpose(0, -1)
        layers[f"{dotted.removesuffix(_KERNEL)}weight"] = weight
    return layers


def _supports(numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the returns that a file's arguments describe, as the tensor that a C51 of PyTorch keeps."""
    supports: dict[str, Tensor] = {}
    for path in numbers:
        parent, _, key = path.rpartition(".")
        low, high, atoms = (numbers.get(f"{parent}.{part}", 0.0) for part in _RANGE)
        if key == _RANGE[-1] and low < high and 2 <= atoms <= MAX_UNITS:
            supports[f"{parent}.atoms"] = torch.linspace(low, high, int(atoms))
    return supports


def has_flax_names(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are called as Flax calls them."""
    return any(map(_is_kernel, tensors))


def _is_kernel(key: str) -> bool:
    return _dotted(key).rpartition(".")[2] == _KERNEL


def _dotted(key: str) -> str:
    """Return a name with dots, whatever its file has between its parts."""
    return key.replace("/", ".").replace(",", ".")


def _without_idle(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return arrays without batch normalizations that have never learned: PQN keeps one that reads nothing."""
    kept = dict(arrays)
    for key, scale in arrays.items():
        name = f"{key.removesuffix(_SCALE)}bias"
        idle = "BatchNorm" in key and name in arrays and bool((scale == 1).all()) and not bool(arrays[name].any())
        if idle and key.endswith(_SCALE):
            del kept[key], kept[name]
    return kept


class _Walk:
    """Goes through nested maps and lists, one header at a time, so that no file builds more objects than it may."""

    def __init__(self, name: str, data: bytes, found: dict[str, Tensor]) -> None:
        self._name, self._data, self._found = name, data, found
        self.numbers: dict[str, float] = {}
        """Numbers of the file by their path."""
        self._unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(data)), strict_map_key=False)
        self._unpacker.feed(data)
        self._nodes = 0

    @property
    def left(self) -> int:
        """Bytes that were not read."""
        return len(self._data) - self._unpacker.tell()

    def visit(self, path: str, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ModelFileError(f"{self._name}: it holds more than {_MAX_NODES} values; save the network alone")
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} times")
        first = self._data[self._unpacker.tell()] if self.left > 0 else 0xC1
        if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
            for _ in range(self._unpacker.read_map_header()):
                key = self._leaf()
                self.visit(_joined(path, key), depth + 1)
        elif 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
            for index in range(self._unpacker.read_array_header()):
                self.visit(_joined(path, index), depth + 1)
        else:
            value = self._leaf()
            if isinstance(value, msgpack.ExtType) and value.code == _ARRAY:
                self._found[path] = self._array(path, value.data)
            elif isinstance(value, int | float) and math.isfinite(value):
                self.numbers[path] = float(value)

    def _leaf(self) -> object:
        """Return the next number, text, bytes or array; a key may be nothing else either."""
        first = self._data[self._unpacker.tell()] if self.left > 0 else 0xC1
        if 0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF:
            raise ValueError("a key of a map is a map or a list")
        return self._unpacker.unpack()

    def _array(self, path: str, packed: bytes) -> Tensor:
        # A shape of more dimensions than any array has is refused before it is built.
        value: Any = msgpack.unpackb(packed, max_array_len=64, max_map_len=0)
        match value:
            case [list(), str(kind), bytes(data)] if kind in _DTYPES:
                try:
                    flat = torch.frombuffer(bytearray(data), dtype=_DTYPES[kind])
                    return flat.reshape(cast(list[int], value[0]))
                except (RuntimeError, TypeError, ValueError) as error:
                    raise ValueError(f"array {printable(path)} does not fit into its {len(data)} bytes") from error
            case _:
                raise ValueError(f"array {printable(path)} has no shape, type and bytes")


def _joined(path: str, key: object) -> str:
    return f"{path}.{printable(str(key))}" if path else printable(str(key))
