"""Makes the network of this project out of the layers that were found in another library's file."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from distill.architectures import ARCHITECTURES, Architecture, Support
from distill.errors import ModelFileError
from distill.games import MAX_ACTIONS, action_count, known_games
from distill.model_card import Labels, check_actions
from distill.models import check_finite
from distill.networks import QNetwork
from distill.state_dicts import PlainNetwork

Pixels = Literal["raw", "scaled"]
"""0 to 255, or 0 to 1."""


@dataclass(frozen=True)
class Told:
    """What a user says of a file that does not say it itself.

    Attributes:
        support: returns of a categorical network (C51).
        labels: what the outputs are.
        pixels: what an ONNX graph takes.
    """

    support: Support | None = None
    labels: Labels | None = None
    pixels: Pixels | None = None


def convert(name: str, found: PlainNetwork, game: str, told: Told) -> QNetwork:
    """Return the network, in float32.

    Args:
        name: of the file, for messages.
        found: its layers.
        game: which it plays.
        told: what the file does not say.

    Raises:
        ModelFileError: if it has another game's number of outputs, or weights that are no numbers.
    """
    first, second, third, hidden, outputs = (int(layer["weight"].shape[0]) for layer in found.layers.values())
    support = _support(name, found, game, told, outputs)
    if support is None:
        _check_outputs(name, game, outputs)
    architecture = _architecture((first, second, third), hidden, found, support)
    actions = outputs if support is None else outputs // support.atoms
    with torch.device("meta"):
        network = QNetwork(architecture, {game: actions})
    modules = ("conv1", "conv2", "conv3", "fc", f"heads.{game}.0")
    parameters = {
        f"{module}.{part}": tensor.float().clone(memory_format=torch.contiguous_format)
        for module, layer in zip(modules, found.layers.values(), strict=True)
        for part, tensor in layer.items()
    }
    parameters |= {
        f"norms.{index}.{part}": tensor.float().contiguous()
        for index, layer in enumerate(found.norms)
        for part, tensor in layer.items()
    }
    if found.standardization is not None:
        parameters |= dict(zip(("pixel_mean", "pixel_scale"), found.standardization, strict=True))
    check_finite(parameters, name)
    network.load_state_dict(parameters, assign=True)
    return network


def labels_of(name: str, found: PlainNetwork, told: Told) -> Labels:
    """Return what a network's outputs are.

    Raises:
        ModelFileError: if neither names nor the user say it, or they contradict each other.
    """
    if found.labels is None and told.labels is None:
        raise ModelFileError(
            f"{name}: layer {next(reversed(found.layers))} is called an actor's, and no critic is beside it; say with"
            " --labels whether its outputs are logits or q-values"
        )
    if found.labels == "logits" and told.labels == "q-values":
        raise ModelFileError(f"{name}: labels: expected logits, since it is an actor-critic, found q-values")
    return told.labels or found.labels or "q-values"


def _support(name: str, found: PlainNetwork, game: str, told: Told, outputs: int) -> Support | None:
    """Return the returns of which the last layer gives logits, None if it gives q-values."""
    if found.support is not None and told.support is not None and _shown(found.support) != _shown(told.support):
        raise ModelFileError(
            f"{name}: support: expected {_shown(found.support)}, as the file says, found {_shown(told.support)}; leave"
            " it out"
        )
    support = found.support or told.support
    if support is None:
        return None
    if game not in known_games():
        check_actions(name, game, outputs)
    actions = action_count(game)
    if outputs != actions * support.atoms:
        raise ModelFileError(
            f"{name}: {game} has {actions} actions (ALE's minimal set), found a last layer of {outputs} outputs, not"
            f" {actions} times {support.atoms} returns"
        )
    return support


def _shown(support: Support) -> str:
    return f"{support.low:g} {support.high:g} {support.atoms}"


def _check_outputs(name: str, game: str, outputs: int) -> None:
    """Check the outputs of the last layer, and explain counts that have a usual reason."""
    try:
        check_actions(name, game, outputs)
    except ModelFileError as error:
        actions = action_count(game) if game in known_games() else 0
        if actions and outputs == MAX_ACTIONS:
            raise ModelFileError(f"{error}, ALE's full set; train with full_action_space=False") from error
        if actions and outputs > MAX_ACTIONS and outputs % actions == 0:
            raise ModelFileError(
                f"{error}: {outputs // actions} an action, as of C51 or QR-DQN; if it is a C51, say what its lowest and"
                f" highest return were, as in --support -10 10 {outputs // actions}"
            ) from error
        raise


def _architecture(
    channels: tuple[int, int, int], hidden: int, found: PlainNetwork, support: Support | None
) -> Architecture:
    custom = Architecture(
        "custom",
        channels,
        hidden,
        pixels="scaled" if found.standardization is None else "standardized",
        padding=found.padding,
        normalization=_normalization(found),
        activation=found.activation,
        support=support,
    )
    for known in ARCHITECTURES.values():
        if known == replace(custom, name=known.name):
            return known
    return custom


def _normalization(found: PlainNetwork) -> Literal["none", "layer", "channels"]:
    if not found.norms:
        return "none"
    return "channels" if found.norms[0]["weight"].dim() == 1 else "layer"
