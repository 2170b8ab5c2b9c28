"""One checkpoint: a safetensors file in whose header stands a checksum of every other byte.

Tensors hold what is large; everything else is text in the file's metadata.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

FORMAT = "distill-checkpoint-2"
_CHECKSUM = hashlib.sha256
"""Most machines have instructions for it, which makes it faster than BLAKE2."""
_DIGITS = 2 * _CHECKSUM().digest_size
_BLANK = b"0" * _DIGITS
"""Stands in the checksum's place while it is computed."""
_PLACE = b'"checksum":"'
"""What is before it in the header; inside a text of the metadata the quotation marks would be escaped."""
_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header."""


def encode_checkpoint(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a checkpoint's file.

    Args:
        tensors: on the CPU, contiguous.
        metadata: what else is kept, as texts.
    """
    data = save(dict(tensors), metadata={**metadata, "format": FORMAT, "checksum": _BLANK.decode()})
    at = _checksum_place(data)
    view = memoryview(data)
    return b"".join((view[:at], _checksum(data, at), view[at + _DIGITS :]))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a checkpoint.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged, or of another format.
    """
    return decode_checkpoint(path.read_bytes())


def decode_checkpoint(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the metadata that `encode_checkpoint` was given. Raises ValueError if they are damaged."""
    metadata = _verified(data)
    try:
        return load(data), metadata
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a checkpoint, whose tensors are verified all the same; raises what `read_tensors` does."""
    return _verified(path.read_bytes())


def _verified(data: bytes) -> dict[str, str]:
    at = _checksum_place(data)
    if data[at : at + _DIGITS] != _checksum(data, at):
        raise ValueError("its checksum is not that of its bytes")
    # From here on the file is what was once written.
    header = cast(dict[str, Any], json.loads(_header(data)))
    metadata = cast(dict[str, str], header["__metadata__"])
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']!r}, expected {FORMAT!r}")
    return metadata


def _checksum(data: bytes, at: int) -> bytes:
    view, checksum = memoryview(data), _CHECKSUM()
    for part in (view[:at], _BLANK, view[at + _DIGITS :]):
        checksum.update(part)
    return checksum.hexdigest().encode()


def _checksum_place(data: bytes) -> int:
    """Return where in a file the checksum stands. Raises ValueError."""
    found = _header(data).find(_PLACE)
    if found < 0:
        raise ValueError("it is cut off, or has no checksum")
    return _LENGTH_BYTES + found + len(_PLACE)


def _header(data: bytes) -> bytes:
    return data[_LENGTH_BYTES : _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")]
