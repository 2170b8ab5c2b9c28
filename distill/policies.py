"""Finds the policy of an actor-critic (PPO, A2C): the layers that lead from frames to the logits of the actions.

Only names tell an actor from a critic. The critic, which values states, is left out.
"""

from collections.abc import Mapping

from distill.folds import ADVANTAGE, Layer
from distill.words import words_of

_ACTOR = {"actor", "action", "pi"}
_ALONE = {"actor", "pi"}
"""Words that name an actor even where there is no critic beside it."""
_CRITIC = {"critic", "value", "values", "vf", "baseline"}
_TWIN = "pi_"
"""With which Stable-Baselines3 begins the name of what its actor shares, or not, with the critic."""


def actor_layers(layers: Mapping[str, Layer]) -> dict[str, Layer] | None:
    """Return the layers that an actor uses, None if these are of no actor-critic."""
    if not (has_actor(layers) and any(words_of(name) & _CRITIC for name in layers)):
        return None
    acting = {name: layer for name, layer in layers.items() if not words_of(name) & _CRITIC}
    return {name: layer for name, layer in acting.items() if f"{_TWIN}{name}" not in acting}


def has_actor(layers: Mapping[str, Layer]) -> bool:
    """Return whether some layers are called as an actor's are; a dueling network, which has advantages, has none."""
    return any(map(is_actor, layers)) and not any(words_of(name) & ADVANTAGE for name in layers)


def is_actor(layer: str) -> bool:
    """Return whether a layer is called as an actor's are, and not as what values actions."""
    words = words_of(layer)
    return bool(words & _ACTOR) and not words & (_CRITIC | {"q"})


def is_actor_alone(layer: str) -> bool:
    """Return whether a layer's name is one of an actor, though nothing beside it is called a critic."""
    return is_actor(layer) and bool(words_of(layer) & _ALONE)
