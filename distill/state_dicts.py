"""Finds the one DQN among the tensors of a file, and says what is there instead if it is none.

Layers are recognised by their shapes, so keys may have any name. Names decide only between a network and its target
and between the streams of a dueling network, and tell kinds of networks apart that are not supported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from distill.architectures import Padding, Support
from distill.categorical import find_supports
from distill.errors import ModelFileError
from distill.folds import ADVANTAGE, Layer, fold_dueling, has_value_stream, without_noise
from distill.layer_order import EXPECTED, Layout, check_plain, misfit, normalizations, ordered
from distill.model_card import Labels
from distill.policies import actor_layers, is_actor, is_actor_alone
from distill.torch_files import TorchContent
from distill.words import words_of

_PLAIN = 5
"""Layers of a plain DQN."""
_MAX_TENSORS = 20_000
_MAX_SEGMENTS = 64

_TRAIN = "train a plain DQN with `distill teach` or Stable-Baselines3"
_RESAVE = "where it was trained, torch.save(model.state_dict(), 'q.pth'), and import that"
_TARGET_WORDS = {"old", "tgt", "lagged"}
_ACTOR_CRITIC = {"actor", "critic", "action", "pi", "vf"}


@dataclass(frozen=True)
class PlainNetwork:
    """The five layers of a DQN, or of a policy of the same layout.

    Attributes:
        prefix: what the names of its tensors have in common, such as `q_net`; "" if nothing.
        layers: the three convolutions and the two linear layers, in the order of computation, by name.
        left_out: prefixes of other networks, then names of other tensors.
        folded: what the file's own layers were, if they became these by folding, a phrase each.
        labels: what the last layer gives; None if names leave it open.
        support: returns that the last layer gives logits of, if the file holds them.
        padding: of the convolutions.
        norms: normalizations of the first four layers, none if there are none.
        activation: of all layers but the last.
        standardization: mean and reciprocal deviation of every pixel, [4, 84, 84] each, if it sees standardized pixels.
    """

    prefix: str
    layers: dict[str, Layer]
    left_out: list[str]
    folded: tuple[str, ...] = ()
    labels: Labels | None = "q-values"
    support: Support | None = None
    padding: Padding = "valid"
    norms: tuple[Layer, ...] = ()
    activation: Literal["relu", "elu"] = "relu"
    standardization: tuple[Tensor, Tensor] | None = None


def find_network(name: str, tensors: Mapping[str, Tensor], layout: Layout = "torch") -> PlainNetwork:
    """Return the DQN among tensors as a plain one: not a target, and of an actor-critic the actor.

    Args:
        name: of the file, for messages.
        tensors: with the names and dimensions of PyTorch.
        layout: of the library that they come from, which decides what their shapes mean.

    Raises:
        ModelFileError: if there is none, or several of equal rank.
    """
    if len(tensors) > _MAX_TENSORS:
        raise ModelFileError(f"{name}: expected {EXPECTED}; found {len(tensors)} tensors")
    tensors, noisy = without_noise(tensors)
    online = {key: tensor for key, tensor in tensors.items() if not is_target(key)}
    every, norms = _apart(_layers(online) or _layers(tensors))
    acting = actor_layers(every)
    layers = every if acting is None else acting
    candidates = _candidates(layers)
    unsupported = _unusual_tensor(tensors, layers | norms) or _unusual_layers(
        layers, candidates, policy=acting is not None
    )
    if unsupported is not None:
        raise ModelFileError(f"{name}: {unsupported}")
    if len(candidates) > 1:
        raise ModelFileError(
            f"{name}: expected one network, found {len(candidates)} of them, under {', '.join(candidates)}; save one"
            " alone, as in torch.save(network.state_dict(), 'q.pth')"
        )
    if not candidates:
        raise misfit(name, _counted(layers), layers)
    prefix, names = next(iter(candidates.items()))
    network = {layer: layers[layer] for layer in names}
    folded = ["noisy layers, by their means"] if any(layer in names for layer in noisy) else []
    if len(names) > _PLAIN:
        network = _without_streams(name, prefix, network)
        folded.append("a dueling network, value and advantage in one")
    order, padding = ordered(name, network, layout)
    others = [other for other in _candidates(_apart(_layers(tensors))[0]) if other != prefix]
    within = tuple(f"{other}." for other in others)
    mine = {norm: layer for norm, layer in norms.items() if not norm.startswith(within)}
    supports = find_supports(name, tensors)
    critic = _outermost([layer for layer in every if layer not in layers], names)
    known = (*names, *mine, *(layer for layer in every if layer not in layers))
    used = {*(f"{layer}.{part}" for layer in known for part in ("weight", "bias")), *supports}
    alone = [key for key in tensors if key not in used and not key.startswith(within)]
    return PlainNetwork(
        prefix,
        order,
        others + critic + alone,
        tuple(folded),
        labels=_labels(name, order, policy=acting is not None),
        support=next(iter(supports.values()), None),
        padding=padding,
        norms=normalizations(name, mine, order, padding, layout),
    )


def _outermost(layers: Sequence[str], used: Sequence[str]) -> list[str]:
    """Return the modules that layers are in, the outermost that hold no layer that is used."""
    holding = {".".join(name.split(".")[:depth]) for name in used for depth in range(1, _MAX_SEGMENTS)}
    found: dict[str, None] = {}
    for name in layers:
        segments = name.split(".")
        paths = (".".join(segments[:depth]) for depth in range(1, len(segments) + 1))
        found[next((path for path in paths if path not in holding), name)] = None
    return list(found)


def _labels(name: str, order: dict[str, Layer], *, policy: bool) -> Labels | None:
    """Return what the last of a network's layers gives, as far as names tell it."""
    last = next(reversed(order))
    if policy and not is_actor(last):
        raise misfit(name, f"an actor-critic, whose last layer {last} is not called an actor's", order)
    if policy:
        return "logits"
    return None if is_actor_alone(last) else "q-values"


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


def _apart(layers: Mapping[str, Layer]) -> tuple[dict[str, Layer], dict[str, Layer]]:
    """Return layers of one kind apart from normalizations, which multiply each of their inputs by a weight."""
    norms = {name: layer for name, layer in layers.items() if _dimensions(layer) in (1, 3)}
    return {name: layer for name, layer in layers.items() if name not in norms}, norms


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
            check_plain(name, f"{key}.{part}", tensor)
    folded = fold_dueling({key[start:]: layer for key, layer in network.items()})
    if folded is None:
        raise misfit(
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
        if (part == "running_mean" and layer in layers) or (part == "scale" and "BatchNorm" in layer):
            return f"batch normalisation, {layer}: not supported; train without it, or {_TRAIN}"
        if part in ("weight_g", "weight_orig", "original0"):
            return f"a reparametrised weight, {key}: not supported; remove the parametrisation before saving"
    return None


def _unusual_layers(
    layers: Mapping[str, Layer], candidates: Mapping[str, Sequence[str]], *, policy: bool
) -> str | None:
    """Return what the layers outside of all candidates tell, if they belong to a network of another kind."""
    # Linear layers without convolutions of their own hang on the network's.
    inside = {name for names in candidates.values() for name in names}
    outside = [name for name in layers if name not in inside]
    if candidates and any(_dimensions(layers[name]) == 4 for name in outside):
        outside = []
    words = {name: words_of(name) for name in layers}
    streams = {name for names in candidates.values() if len(names) > _PLAIN for name in names}
    told = (*outside, *streams, *(inside if len(candidates) > 1 else ()))
    if not policy and any(words[name] & _ACTOR_CRITIC for name in told):
        return (
            "an actor-critic, whose actor cannot be told from its critic: expected layers called actor, action or pi,"
            " and others called critic, value or vf"
        )
    outputs = [name for name in outside if _dimensions(layers[name]) == 2 and layers[name]["weight"].shape[0] == 1]
    if outputs or any(words[name] & ADVANTAGE for name in outside):
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
