"""What a model file's card says of its network's layers, read and checked without trusting it."""

from typing import Any

from distill.architectures import Architecture, Graph, Support
from distill.errors import ModelFileError

MAX_UNITS = 2**16
"""Bound of every size that a card declares, so that comparing shapes cannot overflow."""
MAX_SCORE = 1e12
"""Bound of a card's scores and returns, which JSON could also give as infinity."""
_LAYOUTS = {
    "pixels": ("scaled", "standardized"),
    "padding": ("valid", "same"),
    "normalization": ("none", "layer", "channels"),
    "activation": ("relu", "elu"),
}
"""Fields of an architecture, and what they can be."""


def architecture_of(sizes: dict[str, Any]) -> Architecture | Graph:
    """Return the architecture that a card's JSON describes, unchecked.

    Raises:
        ValueError, TypeError, LookupError: if it describes none.
    """
    if sizes.get("name") == "onnx":
        return Graph(**sizes)
    support = sizes.get("support")
    read: dict[str, Any] = {"channels": tuple(sizes["channels"])}
    if support is not None:
        read["support"] = Support(**support)
    return Architecture(**(sizes | read))


def check_architecture(architecture: Architecture | Graph, name: str) -> None:
    """Check sizes, layouts and the support of an architecture.

    Raises:
        ModelFileError: with what was expected and what was found.
    """
    if isinstance(architecture, Graph):
        if type(architecture.parameters) is not int or architecture.parameters < 0:
            raise ModelFileError(f"{name}: expected a number of parameters, found {architecture.parameters!r}")
        return
    controller = () if architecture.controller_hidden is None else (architecture.controller_hidden,)
    sizes = (*architecture.channels, architecture.hidden, *controller)
    if len(architecture.channels) != 3 or not all(_is_size(size) for size in sizes):
        raise ModelFileError(
            f"{name}: expected three channel counts and sizes from 1 to {MAX_UNITS}, found {architecture}"
        )
    for key, known in _LAYOUTS.items():
        if getattr(architecture, key) not in known:
            raise ModelFileError(f"{name}: {key}: expected {' or '.join(known)}, found {getattr(architecture, key)!r}")
    if architecture.support is not None and not _is_support(architecture.support):
        raise ModelFileError(
            f"{name}: expected a support of 2 to {MAX_UNITS} atoms between two numbers, found {architecture.support}"
        )


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_UNITS


def _is_support(support: Support) -> bool:
    numbers = all(type(value) in (int, float) and abs(value) <= MAX_SCORE for value in (support.low, support.high))
    return numbers and support.low < support.high and _is_size(support.atoms) and support.atoms > 1
