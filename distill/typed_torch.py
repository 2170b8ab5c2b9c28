"""Functions of PyTorch that it gives no types itself, with the types that they have here."""

from typing import Any, Protocol, cast

import numpy.typing as npt
import torch


class _Functions(Protocol):
    def from_numpy(self, array: npt.NDArray[Any], /) -> torch.Tensor: ...

    def manual_seed(self, seed: int, /) -> torch.Generator: ...


class _Listable(Protocol):
    def tolist(self) -> list[float]: ...


from_numpy = cast(_Functions, torch).from_numpy
manual_seed = cast(_Functions, torch).manual_seed


def numbers(tensor: _Listable) -> list[float]:
    """Return the values of a tensor [N]."""
    return tensor.tolist()
