"""Policies of sample-factory: what their experiment's settings say of the network, and how they see pixels."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from distill.errors import ModelFileError
from distill.games import OBSERVATION_SHAPE
from distill.model_card import MAX_HEADER_BYTES
from distill.state_dicts import PlainNetwork

_HEAD = "action_parameterization.distribution_linear"
SETTINGS_FILES = ("config.json", "cfg.json")
"""Names that an experiment's settings have had."""
_STATISTICS = "running_mean_std.obs."
_VARIANCE_EPSILON = 1e-5
"""What sample-factory adds to the variance of a pixel (algo/utils/running_mean_std.py)."""
_EXPECTED: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("encoder_conv_architecture", None, ("convnet_atari",)),
    ("nonlinearity", None, ("relu", "elu")),
    ("obs_scale", 1.0, (255,)),
    ("obs_subtract_mean", 0.0, (0,)),
    ("normalize_input", None, (True, False)),
)
"""Settings that decide what a network computes: name, value where it is absent, values that can be read."""


def is_sample_factory(found: PlainNetwork) -> bool:
    """Return whether a network has the names of sample-factory's."""
    return next(reversed(found.layers)).endswith(_HEAD)


def with_settings(name: str, found: PlainNetwork, tensors: Mapping[str, Tensor], checkpoint: Path) -> PlainNetwork:
    """Return a network with the activation and the pixels that its experiment's settings say.

    Args:
        name: of the file, for messages.
        found: its layers.
        tensors: all of the file, with the statistics of pixels among them.
        checkpoint: the file on disk; the settings lie beside it or in the folder above.

    Raises:
        ModelFileError: if there are no settings, or they are of a network that cannot be read.
    """
    settings = _settings(name, checkpoint)
    for key, default, readable in _EXPECTED:
        value = settings.get(key, default)
        # In Python, True equals 1.
        if not any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in readable):
            expected = " or ".join(map(str, readable))
            raise ModelFileError(f"{name}: setting {key} of its experiment: expected {expected}, found {value!r}")
    statistics = _statistics(name, tensors) if settings["normalize_input"] else None
    return replace(found, activation=settings["nonlinearity"], standardization=statistics)


def _settings(name: str, checkpoint: Path) -> dict[str, Any]:
    places = [folder / file for folder in (checkpoint.parent, checkpoint.parent.parent) for file in SETTINGS_FILES]
    for place in places:
        try:
            if not place.is_file():
                continue
            if place.stat().st_size > MAX_HEADER_BYTES:
                raise ModelFileError(f"{place}: expected at most {MAX_HEADER_BYTES} bytes of settings")
            found: Any = json.loads(place.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ModelFileError(f"{place}: expected the JSON of an experiment of sample-factory: {error}") from error
        if not isinstance(found, dict):
            raise ModelFileError(f"{place}: expected the settings of an experiment of sample-factory, found others")
        return cast(dict[str, Any], found)
    raise ModelFileError(
        f"{name}: a policy of sample-factory, whose activations only its experiment's settings say: expected"
        f" {SETTINGS_FILES[0]} beside it or in the folder above; copy it there"
    )


def _statistics(name: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and reciprocal deviation of every pixel, [4, 84, 84] float32 each."""
    found = {part: [t for key, t in tensors.items() if key.endswith(_STATISTICS + part)] for part in _PARTS}
    shapes = {part: [tuple(tensor.shape) for tensor in several] for part, several in found.items()}
    if any(several != [OBSERVATION_SHAPE] for several in shapes.values()):
        raise ModelFileError(
            f"{name}: normalize_input: expected the mean and the variance of {list(OBSERVATION_SHAPE)} pixels, found"
            f" {shapes}"
        )
    mean, variance = (found[part][0].float() for part in _PARTS)
    return mean, 1 / torch.sqrt(variance + _VARIANCE_EPSILON)


_PARTS = ("running_mean", "running_var")
