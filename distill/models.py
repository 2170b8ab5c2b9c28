"""The native model file: safetensors with a card in its metadata, read without trusting a byte of it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from distill.architectures import Graph
from distill.errors import ModelFileError
from distill.model_card import (
    METADATA,
    ModelCard,
    card_of,
    check_card,
    read_bounded,
    read_header,
    with_card,
    write_model_file,
)
from distill.networks import QNetwork

_DTYPES = {"F16", "F32"}

StorageType = Literal["float32", "float16"]


def save_model(path: Path, network: QNetwork, card: ModelCard, dtype: StorageType = "float32") -> None:
    """Write a model file atomically: whole or not at all.

    Raises:
        ModelFileError: if the card does not fit the network or its games, weights are not finite in `dtype`, or the
            disk refuses.
    """
    write_model_file(path, model_bytes(network, card, dtype))


def model_bytes(network: QNetwork, card: ModelCard, dtype: StorageType = "float32") -> bytes:
    """Return a model file as bytes; the same weights and card give the same bytes.

    Raises:
        ModelFileError: if the card does not fit the network or its games, or weights are not finite in `dtype`.
    """
    check_card(card, "card")
    if network.architecture != card.architecture or network.actions != card.actions:
        raise ModelFileError(
            f"card: expected {network.architecture} with actions {network.actions}, as the network has,"
            f" found {card.architecture} with {card.actions}"
        )
    stored = getattr(torch, dtype)
    tensors = {name: tensor.detach().to("cpu", stored).contiguous() for name, tensor in network.state_dict().items()}
    check_finite(tensors, f"network as {dtype}")
    return with_card(safetensors.torch.save(tensors), card)


def load_model(source: Path | bytes) -> tuple[QNetwork, ModelCard]:
    """Return the network, in float32 on the CPU, and the card of a model file given by path or as bytes.

    Raises:
        ModelFileError: if it is missing, damaged, of another format, or does not fit its games.
    """
    name, data = ("model", source) if isinstance(source, bytes) else (str(source), read_bounded(source))
    header, _ = read_header(name, io.BytesIO(data), len(data))
    card = card_of(name, header)
    if isinstance(card.architecture, Graph):
        raise ModelFileError(
            f"{name}: expected a network of this project, found an ONNX graph, which only labels and plays"
        )
    with torch.device("meta"):
        network = QNetwork(card.architecture, card.actions)
    # Nothing is allocated for the declared sizes before they are known to be those of the file's own tensors.
    _check_tensors(name, header, {key: list(value.shape) for key, value in network.state_dict().items()})
    try:
        stored = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ModelFileError(f"{name}: damaged safetensors: {error}") from error
    tensors = {key: tensor.float() for key, tensor in stored.items()}
    check_finite(tensors, name)
    network.load_state_dict(tensors, assign=True)
    return network, card


def _check_tensors(name: str, header: Mapping[str, Any], expected: Mapping[str, list[int]]) -> None:
    found = {key: entry for key, entry in header.items() if key != METADATA}
    if found.keys() != expected.keys():
        missing, foreign = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise ModelFileError(f"{name}: its tensors do not fit its card: missing {missing}, unknown {foreign}")
    for key, entry in found.items():
        if entry.get("shape") != expected[key] or entry.get("dtype") not in _DTYPES:
            raise ModelFileError(
                f"{name}: tensor {key}: expected {expected[key]} as F16 or F32,"
                f" found {entry.get('shape')} {entry.get('dtype')}"
            )


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Check that all weights are numbers.

    Raises:
        ModelFileError: if one is NaN or infinite.
    """
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{name}: tensor {key}: expected finite weights, found NaN or infinity")
