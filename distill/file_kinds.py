"""Names what a file is, by its first bytes or by the members of its zip, and what to do with it."""

import codecs
import io
import shlex
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

_HEAD_BYTES = 4096
_MAX_MEMBERS = 20_000
_MAX_SAFETENSORS_HEADER = 100_000_000
"""As the safetensors library has it."""
_TAR_MAGIC = slice(257, 262)
_MODEL_NAMES = (".zip", ".pth", ".pt", ".ckpt", ".safetensors", ".cleanrl_model", ".msgpack", ".onnx", ".gz")
SB3_POLICY = "policy.pth"
"""The member of a Stable-Baselines3 zip that holds the weights."""

LEGACY_BEGIN = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled magic number with which torch.save began before it wrote zips."""

_IMPORT = "import it first: distill import-teacher {path} --game GAME"
_WEIGHTS = "where it was trained, save its tensors: torch.save(model.state_dict(), 'q.pth'), and import that"
_OTHER_LIBRARY = (
    "networks of {library} are not read: copy the weights into a PyTorch network of the same layers, and"
    " torch.save its state_dict()"
)
_DOWNLOAD = "the download failed: fetch the file itself"


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        what: it, with an article.
        advice: the next step; `{path}` stands for the file as a shell reads it, `{literal}` as Python does.
        wraps: whether it is a zip with model files among its members.
    """

    what: str
    advice: str
    wraps: bool = False

    def told(self, path: Path | str) -> str:
        """Return what it is and the next step, as the end of a message."""
        advice = self.advice.replace("{path}", shlex.quote(str(path))).replace("{literal}", repr(str(path)))
        return f"{self.what}; {advice}"


SB3_ZIP = FileKind("a Stable-Baselines3 zip", _IMPORT)
TORCH_FILE = FileKind("a PyTorch file", _IMPORT)
SAFETENSORS = FileKind("a safetensors file", _IMPORT)
PICKLE = FileKind("a pickle that torch.save did not write", f"such a file can run code and is not read; {_WEIGHTS}")
DAMAGED_ZIP = FileKind("a truncated or damaged zip", "copy or download it again")
UNKNOWN = FileKind(
    "bytes of no known format", "a model file comes from `distill import-teacher`, `distill teach` or a run"
)

_EMPTY = FileKind("an empty file", "copy or download it again")
_TEXT = FileKind("a text file", "name the file that holds the network")
_ENCRYPTED = FileKind("an encrypted zip", "unpack it with its password, and name the file in it")


def _packed(what: str, command: str) -> FileKind:
    return FileKind(what, f"unpack it, and name what was in it: {command}")


def _compressed(what: str, command: str) -> FileKind:
    return _packed(f"a file compressed with {what}", f"{command} -c {{path}} > unpacked")


def _foreign(what: str, library: str) -> FileKind:
    return FileKind(what, _OTHER_LIBRARY.format(library=library))


GZIP = _compressed("gzip", "gunzip")
_OWN_ONNX = FileKind(
    "an ONNX file that `distill export` wrote",
    "use the .safetensors file that it was made from",
)
ONNX = FileKind("an ONNX file", _IMPORT)
_KERAS = _foreign("a Keras model", "Keras")
_TENSORFLOW = _foreign("a TensorFlow model", "TensorFlow")
FLAX = FileKind("a msgpack file of Flax (JAX)", _IMPORT)
_TORCHSCRIPT = FileKind(
    "a TorchScript archive, which holds code",
    "save its tensors: torch.save(torch.jit.load({literal}).state_dict(), 'q.pth'), and import that",
)
_TORCH_EXPORT = FileKind("a program of torch.export, which holds code", _WEIGHTS)
_NPZ = FileKind(
    "an npz file of NumPy",
    "convert it: safetensors.numpy.save_file(dict(numpy.load({literal})), 'q.safetensors'), and import that",
)
_LFS = FileKind("a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`")
_HTML = FileKind("a web page, not the file itself", _DOWNLOAD)
_JSON = FileKind("a JSON text, not a model file", "a server may have answered with an error: fetch the file itself")
_IMAGE = FileKind("a picture or video", "name the file that holds the network")

_MAGIC: tuple[tuple[bytes, FileKind], ...] = (
    (LEGACY_BEGIN, TORCH_FILE),
    (b"\x1f\x8b", GZIP),
    (b"BZh", _compressed("bzip2", "bunzip2")),
    (b"\xfd7zXZ\x00", _compressed("xz", "unxz")),
    (b"\x28\xb5\x2f\xfd", _compressed("zstd", "unzstd")),
    (b"\x04\x22\x4d\x18", _compressed("lz4", "unlz4")),
    (b"7z\xbc\xaf\x27\x1c", _packed("a 7-Zip archive", "7z x {path}")),
    (b"Rar!\x1a\x07", _packed("a RAR archive", "unrar x {path}")),
    (b"version https://git-lfs", _LFS),
    (b"\x89HDF\r\n\x1a\n", _foreign("an HDF5 file, as Keras writes", "Keras")),
    (b"\x93NUMPY", FileKind("a single NumPy array", _WEIGHTS)),
    (b"\x08\x01\x12", _TENSORFLOW),
    (b"REDIS0", FileKind("a dump of Redis", "models of a run are in its folder: runs/NAME/models")),
    (b"GGUF", _foreign("a GGUF file", "llama.cpp")),
    (b"SQLite format 3\x00", FileKind("an SQLite database", "name the file that holds the network")),
    (b"%PDF-", FileKind("a PDF document", "name the file that holds the network")),
    (b"\x89PNG\r\n", _IMAGE),
    (b"\xff\xd8\xff", _IMAGE),
    (b"GIF8", _IMAGE),
)


def identify(data: bytes) -> FileKind:
    """Return what a file's bytes are, `UNKNOWN` if nothing here fits.

    It takes memory in proportion to the file at most. A kind says what the file claims to be, not that it is sound.
    """
    if not data:
        return _EMPTY
    head = data[:_HEAD_BYTES]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip_kind(data)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    for fits, kind in _TESTS:
        if fits(head):
            return kind
    return UNKNOWN


def open_zip(data: bytes | bytearray) -> zipfile.ZipFile:
    """Return an open zip.

    Raises:
        zipfile.BadZipFile: if it is damaged or has too many members to list.
    """
    # Every entry of the list of members, for each of which zipfile makes an object of a kilobyte, begins so.
    if data.count(b"PK\x01\x02") > _MAX_MEMBERS:
        raise zipfile.BadZipFile(f"more than {_MAX_MEMBERS} members")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (NotImplementedError, ValueError, OverflowError, struct.error, OSError) as error:
        raise zipfile.BadZipFile(f"its list of members cannot be read: {error}") from error


def members(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Return the members called `name` in any folder, without the shadows that macOS adds."""
    return [info for info in archive.infolist() if not _is_folder(info) and _leaf(info.filename) == name]


def may_be_model(name: str) -> bool:
    """Return whether a file or a member of a zip is called as models are; the shadows that macOS adds are not."""
    return name.lower().endswith(_MODEL_NAMES) and not _leaf(name).startswith("._")


def _is_folder(info: zipfile.ZipInfo) -> bool:
    # ZipInfo.is_dir fails on an empty name.
    return info.filename.endswith("/")


def _leaf(member: str) -> str:
    return PurePosixPath(member).name


def _zip_kind(data: bytes) -> FileKind:
    try:
        archive = open_zip(data)
    except zipfile.BadZipFile:
        return DAMAGED_ZIP
    infos = [info for info in archive.infolist() if not _is_folder(info)]
    if any(info.flag_bits & 1 for info in infos):
        return _ENCRYPTED
    names = [info.filename for info in infos if not _leaf(info.filename).startswith("._")]
    for fits, kind in _ZIPS:
        if fits(names):
            return kind
    inner = [name for name in names if may_be_model(name)]
    if inner:
        return replace(_packed(f"a zip around {_listed(inner)}", "unzip {path}"), wraps=True)
    return FileKind(f"a zip of {_listed(names) or 'nothing'}", "name the file that holds the network")


def _listed(names: list[str]) -> str:
    # A name may hold anything, line ends and terminal codes too.
    shown = ", ".join(ascii(name[:60])[1:-1] for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _has_leaf(*wanted: str) -> Callable[[list[str]], bool]:
    return lambda names: any(_leaf(name) in wanted for name in names)


_ZIPS: tuple[tuple[Callable[[list[str]], bool], FileKind], ...] = (
    (_has_leaf(SB3_POLICY), SB3_ZIP),
    (_has_leaf("constants.pkl"), _TORCHSCRIPT),
    (_has_leaf("archive_format"), _TORCH_EXPORT),
    (_has_leaf("data.pkl"), TORCH_FILE),
    (_has_leaf("model.weights.h5"), _KERAS),
    (_has_leaf("saved_model.pb"), _TENSORFLOW),
    (lambda names: bool(names) and all(name.endswith(".npy") for name in names), _NPZ),
)


def _is_safetensors(head: bytes) -> bool:
    """Return whether a length and a JSON map begin here; JSON itself can have its second bracket at the same place."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER


def _is_text(head: bytes) -> bool:
    try:
        # Not final, since the head may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter >= " " or letter in "\t\r\n\f" for letter in text)


def _is_page(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<!--"))


def _is_json(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") and _is_text(head)


def _is_msgpack(head: bytes) -> bool:
    """Return whether a msgpack map with a short text as its first key begins here."""
    at = 1 if 0x81 <= head[0] <= 0x8F else 3 if head[0] == 0xDE else 0
    length = head[at] - 0xA0 if at and len(head) > at else 0
    key = head[at + 1 : at + 1 + length]
    return 1 <= length <= 31 and len(key) == length and key.isascii() and key.decode().isprintable()


def _is_onnx(head: bytes) -> bool:
    """Return whether a protobuf with an IR version, then a producer, domain, graph or opset begins here."""
    return len(head) > 2 and head[0] == 0x08 and 3 <= head[1] <= 32 and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)


_TESTS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (_is_safetensors, SAFETENSORS),
    (lambda head: len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5, PICKLE),
    (lambda head: head[_TAR_MAGIC] == b"ustar", _packed("a tar archive", "tar -xf {path}")),
    (lambda head: head[4:8] == b"TFL3", _TENSORFLOW),
    (lambda head: head[4:8] == b"ftyp", _IMAGE),
    (lambda head: _is_onnx(head) and b"policy-distillery" in head[:64], _OWN_ONNX),
    (_is_onnx, ONNX),
    (_is_msgpack, FLAX),
    (_is_page, _HTML),
    (_is_json, _JSON),
    (_is_text, _TEXT),
)
