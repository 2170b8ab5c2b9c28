"""The native model file: safetensors with a card in its metadata, read without trusting a byte of it.

The metadata are strings: `format_version`, and one JSON text for each other field of `ModelCard`.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from distill.architectures import Architecture
from distill.errors import ConfigError, ModelFileError
from distill.files import write_atomically
from distill.games import PREPROCESSING, action_count
from distill.networks import QNetwork

FORMAT_VERSION = 1
MAX_FILE_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 8 * 2**20
MAX_UNITS = 2**16
"""Bound of every size that a card declares, so that comparing shapes cannot overflow."""
MAX_SCORE = 1e12
"""Bound of a card's scores, which JSON could also give as infinity."""
_LENGTH_BYTES = 8
_ALIGNMENT = 8
_DTYPES = {"F16", "F32"}
_METADATA = "__metadata__"

StorageType = Literal["float32", "float16"]


@dataclass(frozen=True)
class ModelCard:
    """What a model file says about its network.

    Attributes:
        kind: "teacher" labels, "student" was distilled.
        architecture: sizes of the network.
        actions: number of actions of every game it plays.
        preprocessing: what observations it was trained on; must equal `distill.games.PREPROCESSING`.
        training: how it was trained, free JSON.
        scores: per game `mean`, `standard_deviation`, `episodes`, `scores`, `epsilon`, `noop_max` and the like.
    """

    kind: Literal["teacher", "student"]
    architecture: Architecture
    actions: dict[str, int]
    preprocessing: dict[str, Any] = field(default_factory=lambda: dict(PREPROCESSING))
    training: dict[str, Any] = field(default_factory=dict[str, Any])
    scores: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


_CARD_FIELDS = tuple(entry.name for entry in fields(ModelCard))


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
    _check_card(card, "card")
    if network.architecture != card.architecture or network.actions != card.actions:
        raise ModelFileError(
            f"card: expected {network.architecture} with actions {network.actions}, as the network has,"
            f" found {card.architecture} with {card.actions}"
        )
    stored = getattr(torch, dtype)
    tensors = {name: tensor.detach().to("cpu", stored).contiguous() for name, tensor in network.state_dict().items()}
    check_finite(tensors, f"network as {dtype}")
    return _with_card(safetensors.torch.save(tensors), card)


def load_model(source: Path | bytes) -> tuple[QNetwork, ModelCard]:
    """Return the network, in float32 on the CPU, and the card of a model file given by path or as bytes.

    Raises:
        ModelFileError: if it is missing, damaged, of another format, or does not fit its games.
    """
    name, data = ("model", source) if isinstance(source, bytes) else (str(source), read_bounded(source))
    header, _ = _read_header(name, io.BytesIO(data), len(data))
    card = _card_of(name, header)
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


def read_card(path: Path) -> ModelCard:
    """Return a model file's card without reading its weights.

    Raises:
        ModelFileError: if the file is missing, truncated, of another format, or its card does not fit its games.
    """
    size = file_size(path)
    try:
        with path.open("rb") as file:
            header, _ = _read_header(str(path), file, size)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    return _card_of(str(path), header)


def write_card(path: Path, card: ModelCard) -> None:
    """Replace the card of a model file atomically; its weights stay as they are, bit for bit.

    Raises:
        ModelFileError: if the file is not a model file, or the card is not of the same network.
    """
    present = read_card(path)
    _check_card(card, "card")
    if (card.architecture, card.actions) != (present.architecture, present.actions):
        raise ModelFileError(f"{path}: expected a card of {present.architecture} with actions {present.actions}")
    write_model_file(path, _with_card(read_bounded(path), card))


def read_bounded(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ModelFileError: if it is missing, not a plain file, unreadable, or larger than `MAX_FILE_BYTES`.
    """
    file_size(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error


def file_size(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises:
        ModelFileError: if it is missing, not a plain file, or larger than `MAX_FILE_BYTES`.
    """
    try:
        if not path.is_file():
            found = "a directory" if path.is_dir() else "something else" if path.exists() else "nothing there"
            raise ModelFileError(f"{path}: expected a model file, found {found}")
        size = path.stat().st_size
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if size > MAX_FILE_BYTES:
        raise ModelFileError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, found {size}")
    return size


def write_model_file(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        ModelFileError: if the disk refuses.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error


def is_safetensors(data: bytes) -> bool:
    """Return whether a file's bytes begin as safetensors do: a length, then a JSON map."""
    return data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"


def _read_header(name: str, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's JSON header and where its tensors begin, checked against the file's size."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if not text.startswith(b"{"):
        raise ModelFileError(f"{name}: not a safetensors file")
    try:
        header: Any = json.loads(text)
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != _METADATA]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{name}: truncated or damaged: its safetensors header cannot be read") from error
    expected = _LENGTH_BYTES + length + max(ends, default=0)
    if size != expected:
        raise ModelFileError(f"{name}: truncated or damaged: expected {expected} bytes, found {size}")
    return cast(dict[str, Any], header), _LENGTH_BYTES + length


def _with_card(data: bytes, card: ModelCard) -> bytes:
    header, start = _read_header("model", io.BytesIO(data), len(data))
    texts = {key: json.dumps(value) for key, value in asdict(card).items()}
    header[_METADATA] = texts | {"format_version": str(FORMAT_VERSION)}
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + memoryview(data)[start:]


def _card_of(name: str, header: Mapping[str, Any]) -> ModelCard:
    metadata: Any = header.get(_METADATA)
    version = cast(dict[str, Any], metadata).get("format_version") if isinstance(metadata, dict) else None
    if version is None:
        raise ModelFileError(f"{name}: a safetensors file, but without a card; `distill import-teacher` reads it")
    if version != str(FORMAT_VERSION):
        raise ModelFileError(f"{name}: expected format version {FORMAT_VERSION}, found {version!r}")
    try:
        values = {name: json.loads(metadata[name], parse_constant=_refuse_constant) for name in _CARD_FIELDS}
        sizes = values["architecture"]
        architecture = Architecture(**(sizes | {"channels": tuple(sizes["channels"])}))
        card = ModelCard(**cast(dict[str, Any], values | {"architecture": architecture}))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ModelFileError(f"{name}: damaged card: {error!r}") from error
    _check_card(card, name)
    return card


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number that a card may hold")


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_UNITS


def _is_score(score: object) -> bool:
    if not isinstance(score, dict):
        return False
    values: object = cast(dict[str, Any], score).get("scores", [])
    if not isinstance(values, list):
        return False
    return all(type(value) in (int, float) and abs(value) <= MAX_SCORE for value in cast(list[Any], values))


def _check_card(card: ModelCard, name: str) -> None:
    for key, expected in (("actions", dict), ("preprocessing", dict), ("training", dict), ("scores", dict)):
        if not isinstance(getattr(card, key), expected):
            raise ModelFileError(f"{name}: card field {key}: expected a map, found {type(getattr(card, key)).__name__}")
    if card.kind not in ("teacher", "student"):
        raise ModelFileError(f"{name}: expected the kind teacher or student, found {card.kind!r}")
    architecture = card.architecture
    controller = () if architecture.controller_hidden is None else (architecture.controller_hidden,)
    sizes = (*architecture.channels, architecture.hidden, *controller)
    if len(architecture.channels) != 3 or not all(_is_size(size) for size in sizes):
        raise ModelFileError(
            f"{name}: expected three channel counts and sizes from 1 to {MAX_UNITS}, found {architecture}"
        )
    if not card.actions:
        raise ModelFileError(f"{name}: expected at least one game, found none")
    for game, found in card.actions.items():
        check_actions(name, game, found)
    for game, score in card.scores.items():
        if game not in card.actions or not _is_score(score):
            raise ModelFileError(
                f"{name}: scores of {game!r}: expected a map with a list of numbers, of {', '.join(card.actions)}"
            )
    for key in sorted(PREPROCESSING.keys() | card.preprocessing.keys()):
        wanted, found = PREPROCESSING.get(key), card.preprocessing.get(key)
        if wanted != found or isinstance(wanted, bool) != isinstance(found, bool):
            raise ModelFileError(
                f"{name}: preprocessing {key}: expected {wanted!r}, found {found!r};"
                " a network plays only what it was trained on"
            )


def check_actions(name: str, game: str, found: object) -> None:
    """Check an action count against ALE's minimal action set.

    Raises:
        ModelFileError: if the game is unknown or the count differs.
    """
    try:
        expected = action_count(game)
    except ConfigError as error:
        raise ModelFileError(f"{name}: {error}") from error
    if type(found) is not int or found != expected:
        raise ModelFileError(f"{name}: {game} has {expected} actions (ALE's minimal set), found {found!r}")


def _check_tensors(name: str, header: Mapping[str, Any], expected: Mapping[str, list[int]]) -> None:
    found = {key: entry for key, entry in header.items() if key != _METADATA}
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
