"""Reads what `torch.save` wrote, zips and the older format, without running or building anything but tensors.

Tensors are views of the file's own bytes, so no file takes more memory than a few times its size.
"""

import io
import zipfile
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from distill.errors import ModelFileError
from distill.file_kinds import LEGACY_BEGIN, members, open_zip
from distill.pickle_trees import Call, Global, Persistent, read_tree

MAX_INFLATION = 8
"""Bound of what all members of a zip may declare, in sizes of the file; weights hardly compress at all."""
SLACK_BYTES = 2**20
"""Room beyond that bound, since small files may hold much that compresses."""
_MAX_NODES = 100_000
_MAX_DEPTH = 16
_MAX_NAME = 1024
_CONTENT = "data.pkl"
_LEGACY_PROTOCOL = 1001
_NUMEL_BYTES = 8

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

_TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_MAPS = {"collections.OrderedDict", "collections.defaultdict", "collections.Counter"}
_BYTE_ORDER = "expected the byte order little, which nearly all machines have; save it on one of them"

_Stored = Callable[[str], bytearray]
"""Reads the bytes of a storage by its key."""


class TorchContent:
    """What a file of `torch.save` holds.

    Attributes:
        tensors: all tensors, by their path with dots, such as `model.conv1.weight`; views of one storage share it.
        values: paths of other values: numbers, texts and the like.
        objects: classes and functions that a loader would have called, by the path of their result.
        summary: the outermost value in words.
    """

    def __init__(self, summary: str) -> None:
        self.summary = summary
        self.tensors: dict[str, Tensor] = {}
        self.values: list[str] = []
        self.objects: dict[str, str] = {}


def open_bounded(name: str, data: bytes | bytearray, file_bytes: int) -> zipfile.ZipFile:
    """Return an open zip whose members are no larger, all together, than the file that it is or came from allows.

    Raises:
        ModelFileError: if they are, or if it is damaged.
    """
    try:
        archive = open_zip(data)
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{name}: truncated or damaged zip: {error}") from error
    size = sum(info.file_size for info in archive.infolist())
    limit = MAX_INFLATION * file_bytes + SLACK_BYTES
    if size > limit:
        raise ModelFileError(f"{name}: its members declare {size} bytes, expected at most {limit} from {file_bytes}")
    return archive


def read_member(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytearray:
    """Return the bytes of a zip's member, whose declared size bounds what is read.

    Raises:
        ModelFileError: if it is damaged, encrypted or packed in an unusual way.
    """
    try:
        with archive.open(info) as member:
            data = bytearray(member.read(info.file_size))
            if len(data) != info.file_size or member.read(1):
                raise zipfile.BadZipFile("its length is not the declared one")
    except Exception as error:  # what a damaged member raises in zipfile and zlib has no common base
        raise ModelFileError(f"{name}: truncated or damaged zip: member {info.filename!a}") from error
    return data


def read_torch_file(name: str, data: bytes | bytearray, file_bytes: int) -> TorchContent:
    """Return the content of a file of `torch.save`.

    Args:
        name: of the file, for messages.
        data: its bytes.
        file_bytes: size of the file on disk, which `data` was perhaps unpacked from.

    Raises:
        ModelFileError: if it is damaged.
    """
    if data.startswith(b"PK"):
        value, stored = _open_zipped(name, open_bounded(name, data, file_bytes))
    elif data.startswith(LEGACY_BEGIN):
        value, stored = _open_legacy(name, data)
    else:
        value, stored = read_tree(name, io.BytesIO(data)).value, _nothing_stored
    content = TorchContent(_summary(value))
    _Walk(name, content, stored).visit("", value, 0)
    return content


def _open_zipped(name: str, archive: zipfile.ZipFile) -> tuple[Any, _Stored]:
    pickles = members(archive, _CONTENT)
    if len(pickles) != 1:
        raise ModelFileError(f"{name}: expected one member {_CONTENT}, as torch.save writes it, found {len(pickles)}")
    root = pickles[0].filename.removesuffix(_CONTENT)
    order = archive.NameToInfo.get(f"{root}byteorder")
    if order is not None and read_member(name, archive, order) != bytearray(b"little"):
        raise ModelFileError(f"{name}: {_BYTE_ORDER}")

    def stored(key: str) -> bytearray:
        info = archive.NameToInfo.get(f"{root}data/{key}")
        if info is None:
            raise ModelFileError(f"{name}: truncated or damaged: the bytes of tensor {key!a} are missing")
        return read_member(name, archive, info)

    return read_tree(name, io.BytesIO(read_member(name, archive, pickles[0]))).value, stored


def _open_legacy(name: str, data: bytes | bytearray) -> tuple[Any, _Stored]:
    file = io.BytesIO(data)
    file.seek(len(LEGACY_BEGIN))
    if read_tree(name, file).value != _LEGACY_PROTOCOL:
        raise ModelFileError(f"{name}: expected version {_LEGACY_PROTOCOL} of the format of torch.save, found another")
    system = read_tree(name, file).value
    if not isinstance(system, dict) or cast(dict[str, Any], system).get("little_endian") is not True:
        raise ModelFileError(f"{name}: {_BYTE_ORDER}")
    content, keys = read_tree(name, file), read_tree(name, file).value
    widths = {key: dtype.itemsize for key, dtype in map(_storage, content.references)}
    view = memoryview(data)
    places: dict[str, memoryview] = {}
    at = file.tell()
    # Storages follow each other, each behind its number of elements.
    for key in map(str, cast(list[Any], keys) if isinstance(keys, list) else []):
        size = int.from_bytes(view[at : at + _NUMEL_BYTES], "little") * widths.get(key, 1)
        at += _NUMEL_BYTES
        places[key] = view[at : at + size]
        at += size
    if at != len(data):
        raise ModelFileError(f"{name}: truncated or damaged: expected {at} bytes, found {len(data)}")

    def stored(key: str) -> bytearray:
        if key not in places:
            raise ModelFileError(f"{name}: truncated or damaged: the bytes of tensor {key!a} are missing")
        return bytearray(places[key])

    return content.value, stored


def _nothing_stored(key: str) -> bytearray:
    raise ModelFileError(f"tensor {key!a}: a plain pickle holds no tensors; write it with torch.save")


def _storage(reference: Persistent) -> tuple[str, torch.dtype]:
    """Return the key and the type of the bytes that a reference is for; `uint8` where it does not say."""
    match reference.identity:
        case ("storage", Global(name), str(key), *_):
            return key, _DTYPES.get(name.removeprefix("torch."), torch.uint8)
        case _:
            return "", torch.uint8


def _summary(value: object) -> str:
    if isinstance(value, Call):
        return value.callee if value.callee not in _MAPS else f"dict {_keys(value.entries)}"
    return f"dict {_keys(cast(dict[Any, Any], value))}" if isinstance(value, dict) else type(value).__name__


def _keys(entries: dict[Any, Any]) -> list[str]:
    return [printable(str(key)) for key in list(entries)[:8]]


def printable(text: str) -> str:
    """Return a name out of a file so that it can stand in a message."""
    return text[:_MAX_NAME] if text.isprintable() else ascii(text[:_MAX_NAME])[1:-1]


class _Walk:
    """Collects what a tree holds by path, and makes its tensors."""

    def __init__(self, name: str, content: TorchContent, stored: _Stored) -> None:
        self._name, self._content, self._stored = name, content, stored
        self._read: dict[str, bytearray] = {}
        self._nodes = 0

    def visit(self, path: str, value: object, depth: int) -> None:
        # A tree may share its branches and hold itself, so it is not walked to its end.
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ModelFileError(f"{self._name}: it holds more than {_MAX_NODES} values; save the network alone")
        if depth > _MAX_DEPTH or len(path) > _MAX_NAME:
            return
        match value:
            case Call(callee, (inner, *_)) if callee in _PARAMETERS:
                self.visit(path, inner, depth + 1)
            case Call(callee, (Persistent() as reference, offset, size, stride, *_)) if callee in _TENSORS:
                self._content.tensors[path] = self._tensor(path, reference, offset, size, stride)
            case Call(callee, _, entries):
                if callee not in _MAPS:
                    self._content.objects[path] = printable(callee)
                self._branches(path, entries, depth)
            case Global(callee):
                self._content.objects[path] = printable(callee)
            case dict():
                self._branches(path, cast(dict[Any, Any], value), depth)
            case list() | tuple():
                self._branches(path, dict(enumerate(cast(list[Any], value))), depth)
            case _:
                self._content.values.append(path)

    def _branches(self, path: str, entries: dict[Any, Any], depth: int) -> None:
        for key, value in entries.items():
            self.visit(f"{path}.{printable(str(key))}" if path else printable(str(key)), value, depth + 1)

    def _tensor(self, path: str, reference: Persistent, offset: object, size: object, stride: object) -> Tensor:
        key, dtype = _storage(reference)
        if key not in self._read:
            self._read[key] = self._stored(key)
        buffer = self._read[key]
        held = size.arguments if isinstance(size, Call) else None
        shape = cast(tuple[object, ...], held)[0] if isinstance(held, tuple) else size
        try:
            flat = torch.frombuffer(buffer, dtype=dtype) if buffer else torch.empty(0, dtype=dtype)
            return flat.as_strided(cast(Any, shape), cast(Any, stride), cast(Any, offset))
        except Exception as error:  # RuntimeError, TypeError and OverflowError, and what else PyTorch may raise
            raise ModelFileError(
                f"{self._name}: truncated or damaged: tensor {path} does not fit into its {len(buffer)} bytes"
            ) from error
