"""Finds the one DQN among the tensors of a file, and says what is there instead if it is none.

Layers are recognised by their shapes, so keys may have any name. Names decide only between a network and its target
and between the streams of a dueling network, and tell kinds of networks apart that are not supported.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.architectures import Support
from distill.categorical import find_supports
from distill.errors import ModelFileError
from distill.folds import Layer, fold_dueling, has_value_stream, without_noise
from distill.games import STACK
from distill.networks import FEATURE_CELLS
from distill.torch_files import TorchContent
from distill.words import words_of

EXPECTED = "three convolutions 8x8, 4x4, 3x3 on 4 frames, then two linear layers"
KERNELS = ((8, 8), (4, 4), (3, 3))
_PLAIN = 5
"""Layers of a plain DQN."""
_MAX_TENSORS = 20_000
_MAX_SEGMENTS = 64
_SHOWN = 16

_TRAIN = "train a plain DQN with `distill teach` or Stable-Baselines3"
_RESAVE = "where it was trained, torch.save(model.state_dict(), 'q.pth'), and import that"
_TARGET_WORDS = {"old", "tgt", "lagged"}
_ACTOR_CRITIC = {"actor", "critic", "action", "pi", "vf"}
_ADVANTAGE = {"advantage", "advantages", "adv"}
_CHANNELS = {1: "one frame", 3: "one frame in RGB, or 3 frames", 12: "4 frames in RGB"}


@dataclass(frozen=True)
class PlainNetwork:
    """The five layers of a DQN.

    Attributes:
        prefix: what the names of its tensors have in common, such as `q_net`; "" if nothing.
        layers: the three convolutions and the two linear layers, in the order of computation, by name.
        left_out: prefixes of other networks, then names of other tensors.
        folded: what the file's own layers were, if they became these by folding, a phrase each.
        support: returns that the last layer gives logits of, if the file holds them.
    """

    prefix: str
    layers: dict[str, Layer]
    left_out: list[str]
    folded: tuple[str, ...] = ()
    support: Support | None = None


def find_network(name: str, tensors: Mapping[str, Tensor]) -> PlainNetwork:
    """Return the DQN among tensors as a plain one; of a network and its target the network.

    Raises:
        ModelFileError: if there is none, or several of equal rank.
    """
    if len(tensors) > _MAX_TENSORS:
        raise ModelFileError(f"{name}: expected {EXPECTED}; found {len(tensors)} tensors")
    tensors, noisy = without_noise(tensors)
    online = {key: tensor for key, tensor in tensors.items() if not is_target(key)}
    layers = _layers(online) or _layers(tensors)
    candidates = _candidates(layers)
    unsupported = _unusual_tensor(tensors, layers) or _unusual_layers(layers, candidates)
    if unsupported is not None:
        raise ModelFileError(f"{name}: {unsupported}")
    if len(candidates) > 1:
        raise ModelFileError(
            f"{name}: expected one network, found {len(candidates)} of them, under {', '.join(candidates)}; save one"
            " alone, as in torch.save(network.state_dict(), 'q.pth')"
        )
    if not candidates:
        raise _misfit(name, _counted(layers), layers)
    prefix, names = next(iter(candidates.items()))
    network = {layer: layers[layer] for layer in names}
    folded = ["noisy layers, by their means"] if any(layer in names for layer in noisy) else []
    if len(names) > _PLAIN:
        network = _without_streams(name, prefix, network)
        folded.append("a dueling network, value and advantage in one")
    ordered = _ordered(name, network)
    others = [other for other in _candidates(_layers(tensors)) if other != prefix]
    within = tuple(f"{other}." for other in others)
    supports = find_supports(name, tensors)
    used = {*(f"{layer}.{part}" for layer in names for part in ("weight", "bias")), *supports}
    alone = [key for key in tensors if key not in used and not key.startswith(within)]
    return PlainNetwork(prefix, ordered, others + alone, tuple(folded), next(iter(supports.values()), None))


def network_of(name: str, content: TorchContent) -> PlainNetwork:
    """Return the DQN in a file of `torch.save`.

    Raises:
        ModelFileError: if there is none, or several; it says what else is there.
    """
    try:
        if content.tensors:
            return find_network(name, content.tensors)
    except ModelFileError as error:
        if not content.objects:
            raise
        raise ModelFileError(
            f"{error}; it also holds {_objects(content)}, which is not read, since it can run code"
        ) from error
    if not content.objects:
        raise ModelFileError(f"{name}: expected one state dict, alone or in a checkpoint; found {content.summary}")
    if all(callee.startswith("numpy") for callee in content.objects.values()):
        raise ModelFileError(
            f"{name}: expected tensors, found arrays of NumPy ({_objects(content)}); convert each with"
            " torch.from_numpy, torch.save the dict of tensors, and import that"
        )
    raise ModelFileError(
        f"{name}: expected tensors alone, as torch.save(network.state_dict(), ...) writes them, found"
        f" {_objects(content)}; other Python objects can run code and are refused; {_RESAVE}"
    )


def _objects(content: TorchContent) -> str:
    callees = list(dict.fromkeys(content.objects.values()))
    return ", ".join(callees[:3])


def is_target(key: str) -> bool:
    """Return whether a tensor's name is one of a target network, which lags behind the network that it copies."""
    return "targ" in key.lower() or bool(_TARGET_WORDS & words_of(key))


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    for key, tensor in tensors.items():
        layer, _, part = key.rpartition(".")
        if part in ("weight", "bias"):
            layers.setdefault(layer, {})[part] = tensor
    return layers


def _dimensions(layer: Layer) -> int:
    return layer["weight"].dim() if "weight" in layer else 0


def _candidates(layers: Mapping[str, Layer]) -> dict[str, tuple[str, ...]]:
    """Return the innermost prefixes under which there are the layers of a DQN, plain or dueling, and nothing else."""
    below: dict[str, list[str]] = {}
    for name in layers:
        segments = name.split(".")
        for depth in range(min(len(segments), _MAX_SEGMENTS)):
            below.setdefault(".".join(segments[:depth]), []).append(name)
    found: dict[tuple[str, ...], str] = {}
    for prefix, names in below.items():
        # Prefixes of one layer come from the outermost to the innermost, so the last one wins.
        if _is_dqn({name: layers[name] for name in names}):
            found[tuple(names)] = prefix
    # A plain network beside one more layer is no dueling network.
    plain = [set(names) for names in found if len(names) == _PLAIN]
    return {prefix: names for names, prefix in found.items() if len(names) == _PLAIN or not _holds(names, plain)}


def _is_dqn(layers: Mapping[str, Layer]) -> bool:
    """Return whether there are three convolutions and two linear layers, or those of two streams, and nothing else."""
    if not _PLAIN <= len(layers) <= _PLAIN + 2:
        return False
    kinds = [_dimensions(layer) for layer in layers.values()]
    is_complete = kinds.count(4) == 3 and kinds.count(2) == len(kinds) - 3
    return is_complete and (len(layers) == _PLAIN or has_value_stream(layers))


def _holds(names: Sequence[str], others: Sequence[set[str]]) -> bool:
    return any(other < set(names) for other in others)


def _without_streams(name: str, prefix: str, network: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return a dueling network under a prefix as a plain one. Raises ModelFileError if its streams are unknown."""
    start = len(prefix) + 1 if prefix else 0
    for key, layer in network.items():
        for part, tensor in layer.items():
            _check_plain(name, f"{key}.{part}", tensor)
    folded = fold_dueling({key[start:]: layer for key, layer in network.items()})
    if folded is None:
        raise _misfit(
            name,
            "a dueling network, whose layers are not called value and advantage: not supported; train with dueling off,"
            f" or {_TRAIN}",
            network,
        )
    return {f"{prefix}.{key}" if prefix else key: layer for key, layer in folded.items()}


def _unusual_tensor(tensors: Mapping[str, Tensor], layers: Mapping[str, Layer]) -> str | None:
    """Return what a tensor's name tells, if no plain DQN has such a tensor."""
    for key in tensors:
        layer, _, part = key.rpartition(".")
        if "weight_ih" in part or "weight_hh" in part:
            return f"a recurrent layer, {layer}: not supported, since a teacher sees four frames and remembers nothing"
        if part == "running_mean" and layer in layers:
            return f"batch normalisation, {layer}: not supported; train without it, or {_TRAIN}"
        if part in ("weight_g", "weight_orig", "original0"):
            return f"a reparametrised weight, {key}: not supported; remove the parametrisation before saving"
    return None


def _unusual_layers(layers: Mapping[str, Layer], candidates: Mapping[str, Sequence[str]]) -> str | None:
    """Return what the layers outside of all candidates tell, if they belong to a network of another kind."""
    # Linear layers without convolutions of their own hang on the network's.
    inside = {name for names in candidates.values() for name in names}
    outside = [name for name in layers if name not in inside]
    if candidates and any(_dimensions(layers[name]) == 4 for name in outside):
        outside = []
    words = {name: words_of(name) for name in layers}
    streams = {name for names in candidates.values() if len(names) > _PLAIN for name in names}
    if any(words[name] & _ACTOR_CRITIC for name in (*outside, *streams, *(inside if len(candidates) > 1 else ()))):
        return f"an actor-critic, as of PPO or A2C: it has no q-values; {_TRAIN}"
    outputs = [name for name in outside if _dimensions(layers[name]) == 2 and layers[name]["weight"].shape[0] == 1]
    if outputs or any(words[name] & _ADVANTAGE for name in outside):
        return f"a dueling network, with value and advantage apart: not supported; train with dueling off, or {_TRAIN}"
    if candidates and outside:
        return f"more layers than those under {', '.join(candidates)}: {', '.join(outside[:4])}"
    return None


def _counted(layers: Mapping[str, Layer]) -> str:
    """Return how the layers of a network that is no candidate differ."""
    if not layers:
        return "no tensors called weight and bias"
    kinds = [_dimensions(layer) for layer in layers.values()]
    convolutions, linear = kinds.count(4), kinds.count(2)
    if not convolutions:
        return f"no convolutions and {linear} linear layers: a network that reads numbers, not frames"
    odd = [name for name, layer in layers.items() if _dimensions(layer) not in (2, 4)]
    if odd:
        return f"layer {odd[0]} is neither a convolution nor linear (a normalisation, perhaps)"
    return f"{convolutions} convolutions and {linear} linear layers"


def _ordered(name: str, layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the five layers in the order of computation, with shapes that fit each other."""
    for key, layer in layers.items():
        for part, tensor in layer.items():
            _check_plain(name, f"{key}.{part}", tensor)
    weights = {key: layer["weight"] for key, layer in layers.items()}
    linear = [key for key in layers if weights[key].dim() == 2]
    # Larger kernels come first. The sort is stable, so misfits are compared in the file's order.
    convolutions = [key for key in layers if weights[key].dim() == 4]
    convolutions.sort(key=lambda key: -math.prod(weights[key].shape[2:]))
    cells = weights[convolutions[2]].shape[0] * FEATURE_CELLS
    if weights[linear[0]].shape[1] != cells and (
        weights[linear[1]].shape[1] == cells or weights[linear[1]].shape[1] > weights[linear[0]].shape[1]
    ):
        linear.reverse()
    order = [*convolutions, *linear]
    for key, kernel in zip(convolutions, KERNELS, strict=True):
        found = tuple(weights[key].shape[2:])
        if found != kernel:
            sizes = f"{found[0]}x{found[1]}, not {kernel[0]}x{kernel[1]}"
            raise _misfit(name, f"layer {key} is a convolution of {sizes}", layers)
    channels = weights[order[0]].shape[1]
    if channels != STACK:
        raise _misfit(name, f"layer {order[0]} reads {_CHANNELS.get(channels, f'{channels} channels')}", layers)
    if weights[linear[0]].shape[1] != cells:
        reads = f"layer {linear[0]} reads {weights[linear[0]].shape[1]} values, not {cells}"
        raise _misfit(name, f"{reads}: frames are not 84x84, or convolutions have other strides or padding", layers)
    inputs = [STACK, *(weights[key].shape[0] for key in convolutions[:2]), cells, weights[linear[0]].shape[0]]
    for key, expected in zip(order, inputs, strict=True):
        if weights[key].shape[1] != expected:
            raise _misfit(name, f"layer {key} reads {weights[key].shape[1]} inputs, not {expected}", layers)
        if "bias" not in layers[key] or layers[key]["bias"].shape != weights[key].shape[:1] or not weights[key].numel():
            raise _misfit(name, f"layer {key} has no bias for each of its outputs", layers)
    return {key: layers[key] for key in order}


def _check_plain(name: str, key: str, tensor: Tensor) -> None:
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        raise ModelFileError(f"{name}: tensor {key}: expected plain floats, found {tensor.dtype} {tensor.layout}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ModelFileError(f"{name}: tensor {key}: declares {list(tensor.shape)}, more than its stored bytes")


def _misfit(name: str, reason: str, layers: Mapping[str, Layer]) -> ModelFileError:
    return ModelFileError(f"{name}: {reason}; expected {EXPECTED}; found {_shapes(layers)}")


def _shapes(layers: Mapping[str, Layer]) -> str:
    found = [f"{prefix}.{part} {list(t.shape)}" for prefix, layer in layers.items() for part, t in layer.items()]
    return (", ".join(found[:_SHOWN]) or "none") + (" ..." if len(found) > _SHOWN else "")
