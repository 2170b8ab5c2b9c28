"""JSON files that carry a checksum of their content, so that a damaged one is refused and never half believed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from distill.errors import RunError
from distill.files import write_atomically
from distill.machine_errors import refusal

_CHECKSUM_BYTES = 16


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with its checksum, whole or not at all.

    Raises:
        RunError: if the disk refuses.
    """
    try:
        write_atomically(path, seal(content))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {refusal(error)}") from error


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the content of a file that `write_sealed` wrote.

    Raises:
        RunError: if it is missing, cannot be read, or is not byte for byte what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {refusal(error)}") from error
    return unseal(str(path), data)


def seal(content: Mapping[str, Any]) -> bytes:
    """Return content as JSON with its checksum; the same content gives the same bytes."""
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    checksum = hashlib.blake2b(body.encode(), digest_size=_CHECKSUM_BYTES).hexdigest()
    return f'{{"checksum":"{checksum}",\n"content":{body}}}\n'.encode()


def unseal(name: str, data: bytes) -> dict[str, Any]:
    """Return the content of what `seal` returned.

    Raises:
        RunError: with `name`, if it is not byte for byte that.
    """
    try:
        document: Any = json.loads(data)
        content = cast(dict[str, Any], document["content"])
        if seal(content) != data:
            raise ValueError("another checksum")
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise RunError(
            f"{name}: damaged: expected JSON with the checksum of its content, found {error}; restore it from a copy"
        ) from error
    return content
