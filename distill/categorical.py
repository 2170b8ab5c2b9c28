"""Categorical networks (C51, Bellemare et al. 2017): which returns their outputs are probabilities of.

The q-value of an action is the mean of the returns under a softmax, which no linear layer computes; so a network keeps
its last layer, and `Architecture.support` says what becomes of its outputs.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from distill.architectures import Support
from distill.errors import ModelFileError
from distill.words import words_of

_WORDS = {"atom", "atoms", "support", "supports"}
_UNEVEN = 1e-4
"""Share of the distance between two returns by which rounding may move one."""


def find_supports(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Support]:
    """Return the returns that a file holds beside its networks, by name; the same for a network and its target.

    Raises:
        ModelFileError: if they are not evenly spaced, or not the same.
    """
    found = {key: _support(name, key, tensor) for key, tensor in tensors.items() if _is_support(key, tensor)}
    if len(set(found.values())) > 1:
        raise ModelFileError(f"{name}: expected one support of returns, found several, {', '.join(found)}")
    return found


def _is_support(key: str, tensor: Tensor) -> bool:
    named = words_of(key.rpartition(".")[2]) & _WORDS
    return bool(named) and tensor.dim() == 1 and len(tensor) > 1 and tensor.is_floating_point()


def _support(name: str, key: str, tensor: Tensor) -> Support:
    low, high = float(tensor[0]), float(tensor[-1])
    even = torch.linspace(low, high, len(tensor), dtype=torch.float64)
    distance = (high - low) / (len(tensor) - 1)
    if not distance > 0.0 or not bool((even - tensor.double()).abs().max() <= _UNEVEN * distance):
        raise ModelFileError(f"{name}: tensor {key}: expected evenly spaced returns from low to high, found others")
    return Support(low, high, len(tensor))
