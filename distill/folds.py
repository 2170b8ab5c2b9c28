"""Networks of other kinds that are a plain DQN once their layers are folded: the same q-values, up to float rounding.

Noisy layers (Fortunato et al. 2018) act by their means once training has ended. A dueling network (Wang et al. 2016)
computes V + A - mean A, which is linear in its last layers; so is the mean of quantiles (QR-DQN, Dabney et al. 2018).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from distill.words import words_of

Layer = dict[str, Tensor]
"""`weight` and `bias` of one layer."""

_MEAN = re.compile(r"mu_(?:w|weight)|(?:w|weight)_mu|mu_(?:b|bias)|(?:b|bias)_mu", re.IGNORECASE)
_NOISE = re.compile(r"(?:^|_)(?:sigma|epsilon|eps)(?:_|$)")
_SPREAD = re.compile(r"(?:^|_)sigma(?:_|$)")
ADVANTAGE = {"advantage", "advantages", "adv"}
"""Words of which one says for certain that a layer is an advantage's."""
_ADVANTAGE = {*ADVANTAGE, "a"}
_VALUE = {"value", "values", "val", "v"}


def without_noise(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return tensors with the means of noisy layers as their weights, and the names of these layers.

    The means are `weight_mu`, `mu_W` and the like, or plain `weight` beside `sigma_weight`.
    """
    noisy = {
        layer
        for layer, _, part in (key.rpartition(".") for key in tensors)
        if _MEAN.fullmatch(part) or _SPREAD.search(part)
    }
    quiet: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        layer, _, part = key.rpartition(".")
        if layer not in noisy:
            quiet[key] = tensor
        elif _MEAN.fullmatch(part):
            quiet[f"{layer}.{'bias' if 'b' in part.lower().split('_') or 'bias' in part else 'weight'}"] = tensor
        elif not _NOISE.search(part):
            quiet[key] = tensor
    return quiet, sorted(noisy)


def has_value_stream(layers: Mapping[str, Layer]) -> bool:
    """Return whether linear layers are those of a dueling network: one has a single output, or both streams a name."""
    linear = {name: layer for name, layer in layers.items() if _is_linear(layer)}
    if any(layer["weight"].shape[0] == 1 for layer in linear.values()):
        return True
    return all(any(_is_called(name, words) for name in linear) for words in (_ADVANTAGE, _VALUE))


def fold_dueling(layers: Mapping[str, Layer]) -> dict[str, Layer] | None:
    """Return a dueling network's layers as those of a plain DQN; None if its streams cannot be told apart.

    The streams are told by their names, since shapes do not always tell them. They may share their hidden layer or have
    one each; two hidden layers become one that is as wide as both. In a Rainbow (Hessel et al. 2018) the value has N
    outputs, one for each return, and the advantage A * N, seen as [A, N].

    Args:
        layers: three convolutions and the linear layers of both streams, with weight [out, in] and bias [out].
    """
    linear = {name: layer for name, layer in layers.items() if _is_linear(layer)}
    advantages = [name for name in linear if _is_called(name, _ADVANTAGE)]
    values = [name for name in linear if _is_called(name, _VALUE)]
    shared = [name for name in linear if name not in advantages and name not in values]
    if any("bias" not in layer for layer in linear.values()):
        return None
    folded = {name: layer for name, layer in layers.items() if name not in linear}
    if len(shared) == len(advantages) == len(values) == 1:
        folded[shared[0]] = linear[shared[0]]
        weight = linear[advantages[0]]["weight"], linear[values[0]]["weight"]
        last, value = advantages[0], values[0]
    elif not shared and len(advantages) == len(values) == 2:
        hidden, last = _in_order(linear, advantages)
        value_hidden, value = _in_order(linear, values)
        first, second = linear[hidden], linear[value_hidden]
        if first["weight"].shape[1:] != second["weight"].shape[1:]:
            return None
        folded[hidden] = {part: torch.cat((first[part], second[part])) for part in ("weight", "bias")}
        # Neither stream reads the other's hidden units.
        a, v = linear[last]["weight"], linear[value]["weight"]
        weight = (
            torch.cat((a, a.new_zeros(len(a), v.shape[1])), dim=1),
            torch.cat((v.new_zeros(len(v), a.shape[1]), v), dim=1),
        )
    else:
        return None
    returns = linear[value]["weight"].shape[0]
    if not returns or linear[last]["weight"].shape[0] % returns or weight[0].shape[1] != weight[1].shape[1]:
        return None
    folded[last] = {
        "weight": _dueling(*weight),
        "bias": _dueling(linear[last]["bias"], linear[value]["bias"]),
    }
    return folded


def mean_of_quantiles(layer: Layer, actions: int) -> Layer:
    """Return the last layer of a QR-DQN of sb3-contrib as that of a DQN.

    Args:
        layer: weight [N * A, H] and bias [N * A]; the output is seen as [N, A] (sb3_contrib/qrdqn/policies.py).
        actions: A.
    """
    weight, bias = layer["weight"].double(), layer["bias"].double()
    return {
        "weight": weight.reshape(-1, actions, weight.shape[1]).mean(0).float(),
        "bias": bias.reshape(-1, actions).mean(0).float(),
    }


def _dueling(advantage: Tensor, value: Tensor) -> Tensor:
    """Return V + A - mean A over the actions, computed in float64; value [N, ...] and advantage [A * N, ...]."""
    v = value.double()
    a = advantage.double().reshape(-1, *v.shape)
    return (v + a - a.mean(0, keepdim=True)).reshape(advantage.shape).float()


def _in_order(linear: Mapping[str, Layer], names: list[str]) -> tuple[str, str]:
    """Return the hidden layer of a stream, then its last one."""
    first, second = names
    reads_first = linear[second]["weight"].shape[1] == linear[first]["weight"].shape[0]
    return (first, second) if reads_first else (second, first)


def _is_called(name: str, stream: set[str]) -> bool:
    """Return whether a layer's name is one of a stream, and not of the other one too."""
    words = words_of(name)
    return bool(words & stream) and not words & (_ADVANTAGE | _VALUE) - stream


def _is_linear(layer: Layer) -> bool:
    return "weight" in layer and layer["weight"].dim() == 2
