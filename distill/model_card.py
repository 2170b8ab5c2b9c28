"""What a model file says about its network: a card in the metadata of safetensors, read without trusting a byte of it.

The metadata are strings: `format_version`, and one JSON text for each other field of `ModelCard`. Nothing here knows
PyTorch: `distill.models` reads and writes the weights.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from distill import file_kinds
from distill.architectures import Architecture, Graph
from distill.card_architecture import MAX_SCORE, architecture_of, check_architecture
from distill.errors import ConfigError, ModelFileError
from distill.files import write_atomically
from distill.games import PREPROCESSING, action_count

FORMAT_VERSION = 1
MAX_FILE_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 8 * 2**20
METADATA = "__metadata__"
"""Key of a header under which the card stands among the tensors."""
_LENGTH_BYTES = 8
_ALIGNMENT = 8


Labels = Literal["q-values", "logits"]


@dataclass(frozen=True)
class ModelCard:
    """What a model file says about its network.

    Attributes:
        kind: "teacher" labels, "student" was distilled.
        architecture: sizes of the network.
        actions: number of actions of every game it plays.
        preprocessing: what observations it was trained on; must equal `distill.games.PREPROCESSING`.
        training: how it was trained, free JSON; `protocol` names whose emulator it was trained on, where that is known.
        labels: what the outputs are: q-values, in discounted rewards, or logits of a policy; files of 0.1.0 do not say
            it, and their teachers' are q-values.
        scores: per game `mean`, `standard_deviation`, `episodes`, `scores`, `epsilon`, `noop_max` and the like, and
            under `protocols` what was measured under other protocols than this project's; see `distill.reproduction`.
    """

    kind: Literal["teacher", "student"]
    architecture: Architecture | Graph
    actions: dict[str, int]
    preprocessing: dict[str, Any] = field(default_factory=lambda: dict(PREPROCESSING))
    training: dict[str, Any] = field(default_factory=dict[str, Any])
    labels: Labels = "q-values"
    scores: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


_CARD_FIELDS = tuple(entry.name for entry in fields(ModelCard))
_ABSENT = {"labels": json.dumps("q-values")}
"""Texts of fields that older files do not have."""


def read_card(path: Path) -> ModelCard:
    """Return a model file's card without reading its weights.

    Raises:
        ModelFileError: if the file is missing, truncated, of another format, or its card does not fit its games.
    """
    size = file_size(path)
    try:
        with path.open("rb") as file:
            header, _ = read_header(str(path), file, size)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    return card_of(str(path), header)


def write_card(path: Path, card: ModelCard) -> None:
    """Replace the card of a model file atomically; its weights stay as they are, bit for bit.

    Raises:
        ModelFileError: if the file is not a model file, or the card is not of the same network.
    """
    present = read_card(path)
    check_card(card, "card")
    if (card.architecture, card.actions, card.labels) != (present.architecture, present.actions, present.labels):
        raise ModelFileError(
            f"{path}: expected a card of {present.architecture} with actions {present.actions} and {present.labels}"
        )
    write_model_file(path, with_card(read_bounded(path), card))


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
            found = "a directory" if path.is_dir() else "something else" if path.exists() else _absent(path)
            raise ModelFileError(f"{path}: expected a model file, found {found}")
        size = path.stat().st_size
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if size > MAX_FILE_BYTES:
        raise ModelFileError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, found {size}")
    return size


def _absent(path: Path) -> str:
    return f"a broken link to {path.readlink()}" if path.is_symlink() else "nothing there"


def write_model_file(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        ModelFileError: if the disk refuses.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error


def is_model_file(path: Path) -> bool:
    """Return whether a file is a whole model file of this program's, by its card."""
    try:
        read_card(path)
    except ModelFileError:
        return False
    return True


def read_header(name: str, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's JSON header and where its tensors begin, checked against the file's size.

    Raises:
        ModelFileError: if it is no safetensors file, truncated or damaged.
    """
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if not text.startswith(b"{"):
        file.seek(0)
        kind = file_kinds.identify(file.read())
        raise ModelFileError(f"{name}: not a safetensors file, but {kind.told(name)}")
    try:
        header: Any = json.loads(text)
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != METADATA]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{name}: truncated or damaged: its safetensors header cannot be read") from error
    expected = _LENGTH_BYTES + length + max(ends, default=0)
    if size != expected:
        raise ModelFileError(f"{name}: truncated or damaged: expected {expected} bytes, found {size}")
    return cast(dict[str, Any], header), _LENGTH_BYTES + length


def with_card(data: bytes, card: ModelCard) -> bytes:
    """Return a safetensors file's bytes with this card in place of its metadata."""
    header, start = read_header("model", io.BytesIO(data), len(data))
    texts = {key: json.dumps(value) for key, value in asdict(card).items()}
    header[METADATA] = texts | {"format_version": str(FORMAT_VERSION)}
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + memoryview(data)[start:]


def weights_digest(data: bytes) -> str:
    """Return the SHA-256 of a model file's tensors with their names, types and shapes, whatever the card says.

    Raises:
        ModelFileError: if it is no safetensors file, truncated or damaged.
    """
    header, start = read_header("model", io.BytesIO(data), len(data))
    tensors = {key: header[key] for key in sorted(header) if key != METADATA}
    digest = hashlib.sha256(json.dumps(tensors, sort_keys=True).encode())
    digest.update(memoryview(data)[start:])
    return digest.hexdigest()


def card_of(name: str, header: Mapping[str, Any]) -> ModelCard:
    """Return the card of a file's header.

    Raises:
        ModelFileError: if there is none, or it is damaged, of another format, or does not fit its games.
    """
    found = header.get(METADATA)
    metadata = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    version = metadata.get("format_version")
    if version is None:
        raise ModelFileError(f"{name}: a safetensors file, but without a card; `distill import-teacher` reads it")
    if version != str(FORMAT_VERSION):
        raise ModelFileError(f"{name}: expected format version {FORMAT_VERSION}, found {version!r}")
    try:
        values = {
            name: json.loads((_ABSENT | metadata)[name], parse_constant=_refuse_constant) for name in _CARD_FIELDS
        }
        architecture = architecture_of(values["architecture"])
        card = ModelCard(**cast(dict[str, Any], values | {"architecture": architecture}))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ModelFileError(f"{name}: damaged card: {error!r}") from error
    check_card(card, name)
    return card


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number that a card may hold")


def _is_score(score: object) -> bool:
    if not _has_scores(score):
        return False
    others: object = cast(dict[str, Any], score).get("protocols", {})
    return isinstance(others, dict) and all(map(_has_scores, cast(dict[str, Any], others).values()))


def _has_scores(score: object) -> bool:
    if not isinstance(score, dict):
        return False
    values: object = cast(dict[str, Any], score).get("scores", [])
    if not isinstance(values, list):
        return False
    return all(type(value) in (int, float) and abs(value) <= MAX_SCORE for value in cast(list[Any], values))


def check_card(card: ModelCard, name: str) -> None:
    """Check what a card says for itself: kind, sizes, games, scores, preprocessing.

    Raises:
        ModelFileError: naming the field, what was expected and what was found.
    """
    for key, expected in (("actions", dict), ("preprocessing", dict), ("training", dict), ("scores", dict)):
        if not isinstance(getattr(card, key), expected):
            raise ModelFileError(f"{name}: card field {key}: expected a map, found {type(getattr(card, key)).__name__}")
    if card.kind not in ("teacher", "student"):
        raise ModelFileError(f"{name}: expected the kind teacher or student, found {card.kind!r}")
    if card.labels not in ("q-values", "logits"):
        raise ModelFileError(f"{name}: expected the labels q-values or logits, found {card.labels!r}")
    check_architecture(card.architecture, name)
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
