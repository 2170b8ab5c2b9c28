"""Unpacks what a model file is wrapped in: gzip, a zip of a folder, a folder. Nothing takes more memory than it may.

A folder, and a zip of one, may hold the other files of an agent, such as its optimizer and its target network.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from distill import file_kinds
from distill.errors import ModelFileError
from distill.model_card import read_bounded
from distill.torch_files import MAX_INFLATION, SLACK_BYTES, open_bounded, printable, read_member
from distill.words import words_of

_MAX_DEPTH = 4
_MAX_FILES = 10_000
_BESIDE = {"target", "optimizer", "optim", "scheduler", "replay", "buffer", "scaler", "vecnormalize", "rng"}
"""Words in the names of an agent's other files."""


@dataclass(frozen=True)
class Unpacked:
    """A model file as it was found.

    Attributes:
        name: path of the file, and of what was unpacked from it, for messages.
        data: its bytes.
        origin: the file on disk that they came from.
        file_bytes: size of that file.
        members: names that led from `origin` to `data`, outermost first; empty if the file itself is the model.
    """

    name: str
    data: bytes
    origin: Path
    file_bytes: int
    members: tuple[str, ...] = ()


def unpack(path: Path) -> Unpacked:
    """Return the model file that `path` is or holds.

    Raises:
        ModelFileError: if it is missing, damaged, holds no model file or several, or unpacks to far more than its size.
    """
    file = _file_in(path) if path.is_dir() else path
    data = read_bounded(file)
    file_bytes = len(data)
    name, members = str(file), ()
    for _ in range(_MAX_DEPTH):
        kind = file_kinds.identify(data)
        if kind is file_kinds.GZIP:
            inner, data = "gunzip", _gunzipped(name, data, file_bytes)
        elif kind.wraps:
            archive = open_bounded(name, data, file_bytes)
            infos = {info.filename: info for info in archive.infolist() if file_kinds.may_be_model(info.filename)}
            inner = choose(name, infos)
            data = bytes(read_member(name, archive, infos[inner]))
        else:
            return Unpacked(name, data, file, file_bytes, members)
        name, members = f"{name}: {printable(inner)}", (*members, printable(inner))
    raise ModelFileError(f"{name}: expected a model file, found one packed {_MAX_DEPTH} times; unpack it by hand")


def _file_in(folder: Path) -> Path:
    """Return the one model file of a folder and the folders in it."""
    found: dict[str, Path] = {}
    try:
        for number, path in enumerate(folder.rglob("*")):
            if number >= _MAX_FILES:
                raise ModelFileError(f"{folder}: expected a folder of one model, found {_MAX_FILES} files and more")
            if file_kinds.may_be_model(path.name) and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    except OSError as error:
        raise ModelFileError(f"{folder}: cannot be read: {error.strerror}") from error
    return found[choose(str(folder), found)]


def choose(name: str, found: Iterable[str]) -> str:
    """Return the one file among several that can be a network and not what an agent keeps beside it.

    Raises:
        ModelFileError: if there is none or there are several, with `name` for where they are.
    """
    models = [path for path in found if not words_of(PurePosixPath(path).stem) & _BESIDE]
    if len(models) != 1:
        listed = ", ".join(printable(path) for path in sorted(models)[:8]) or "none"
        raise ModelFileError(f"{name}: expected one model file in it, found {listed}; name the file itself")
    return models[0]


def _gunzipped(name: str, data: bytes, file_bytes: int) -> bytes:
    """Return what gzip has packed, if it is no larger than the file on disk allows."""
    limit = MAX_INFLATION * file_bytes + SLACK_BYTES
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = unzip.decompress(data, limit + 1)
    except zlib.error as error:
        raise ModelFileError(f"{name}: truncated or damaged gzip file; copy or download it again") from error
    if len(unpacked) > limit:
        raise ModelFileError(f"{name}: it unpacks to more than {limit} bytes, expected at most that from {file_bytes}")
    if not unzip.eof or unzip.unused_data.strip(b"\0"):
        raise ModelFileError(f"{name}: truncated or damaged gzip file; copy or download it again")
    return unpacked
