"""A file of a stranger costs no more memory than its size allows, and ends in one sentence whatever its bytes are."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.model_card import read_card
from distill.pickle_trees import MAX_OPERATIONS, Call, Global, read_tree
from distill.torch_files import read_torch_file
from tests.support.foreign_networks import PlainNetwork, sb3

ROOT = Path(__file__).parents[2]
TEACHER = ROOT / "teachers" / "pong.safetensors"


def torch_bytes(value: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def sb3_bytes() -> bytes:
    file = io.BytesIO()
    sb3(6).save(file)
    return file.getvalue()


def call(module: str, name: str, argument: bytes) -> bytes:
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"\x85R."


BILLIONS = b"J\x00\x5e\xd0\x7a"
"""2,060,476,928 as a pickled int."""

PICKLES = {
    "bytearray": call("__builtin__", "bytearray", BILLIONS),
    "bytearray of protocol 4": b"\x80\x04\x8c\x08builtins\x8c\tbytearray\x93" + BILLIONS + b"\x85R.",
    "tensor": call("torch", "Tensor", BILLIONS),
    "storage": call("torch", "FloatStorage", BILLIONS),
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "text": b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"x.",
    "bytes": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",
    "frame": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"N.",
    "many": b"\x80\x02" + b"]" * 2_500_000 + b".",
    "deep": b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".",
    "copies": b"\x80\x02]("
    + b"K\x01" * 200_000
    + b"eq\x00("
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 5_000
    + b"t.",
    "laughs": b"\x80\x02]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(100)) + b".",
}


def hostile_files() -> dict[str, bytes]:
    files = dict(PICKLES)
    zeros = bytes(150 * 2**20)
    inner = zipped({"archive/data.pkl": PICKLES["bytearray"], "archive/data/0": zeros})
    files |= {f"{name} in a PyTorch zip": zipped({"archive/data.pkl": data}) for name, data in PICKLES.items()}
    files["a zip in a zip"] = zipped({"policy.pth": inner, "data": b"{}"})
    files["zeros"] = zipped({"policy.pth": zeros})
    files["zeros as settings"] = zipped({"policy.pth": torch_bytes(PlainNetwork().state_dict()), "data": zeros})
    files["zeros as a list of members"] = b"PK\x03\x04" + (b"PK\x01\x02" + bytes(42)) * 300_000
    files["expanded"] = torch_bytes({"a.weight": torch.zeros(1).expand(1024, 2**20)})
    files["a large header"] = (8 * 2**20).to_bytes(8, "little") + b"{" + b'"":[],' * 1_400_000
    return files


PEAK = """
import resource, sys
from pathlib import Path
from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.model_card import read_card

def peak():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")).split()[1])

def refused(read):
    try:
        read()
    except ModelFileError as error:
        assert "\\n" not in str(error) and len(str(error)) < 2000, str(error)[:2000]
        return str(error)
    raise AssertionError("it was read")

import_teacher(Path(sys.argv[1]), "breakout")
for path in map(Path, sys.argv[2:]):
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    message = refused(lambda: import_teacher(path, "breakout"))
    refused(lambda: read_card(path))
    print(path.name, path.stat().st_size, (peak() - before) * 1024, message, sep="|")
"""


@pytest.mark.timeout(300)
def test_memory_is_bounded_by_the_size_of_the_file(tmp_path: Path) -> None:
    harmless = tmp_path / "harmless"
    harmless.write_bytes(torch_bytes(PlainNetwork().state_dict()))
    paths = []
    for name, data in hostile_files().items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, harmless, *paths],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|", 3) for line in done.stdout.splitlines()]
    assert len(rows) == len(paths)
    for name, size, grown, message in rows:
        # Values of a pickle take up to a hundred bytes for each of its bytes, of which MAX_OPERATIONS are read.
        assert int(grown) < 12 * int(size) + 130 * min(int(size), MAX_OPERATIONS) + 30 * 2**20, (
            name,
            size,
            grown,
            message,
        )


def test_a_pickle_is_read_without_calling_anything() -> None:
    def tree(value: object, protocol: int) -> object:
        return read_tree("x", io.BytesIO(pickle.dumps(value, protocol))).value

    for protocol in range(6):
        plain = {
            "a": [1, 2.5, None, True, "é", 2**80],
            3: ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
            "e": {},
            "l": [],
        }
        assert tree(plain, protocol) == plain
        assert isinstance(tree(object(), protocol), Call)
    assert tree(Path, 2) == Global("pathlib.Path")
    assert tree({1, 2}, 4) == [1, 2] and tree(frozenset({1}), 4) == [1]
    shared = [1]
    found = tree([shared, shared], 4)
    assert isinstance(found, list) and found[0] is found[1]
    loop: list[object] = []
    loop.append(loop)
    read_torch_file("x", pickle.dumps({"loop": loop}), 9)


def test_a_tensor_that_its_bytes_do_not_hold_is_refused(tmp_path: Path) -> None:
    data = torch_bytes({"weight": torch.zeros(3, 5)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    content = parts["archive/data.pkl"]
    for changed in (
        content.replace(b"K\x03K\x05\x86", b"K\x09K\x05\x86"),
        content.replace(b"K\x00K\x03", b"K\x01K\x03"),
    ):
        assert changed != content
        with pytest.raises(ModelFileError, match="tensor weight does not fit into its 60 bytes"):
            read_torch_file("x", zipped(parts | {"archive/data.pkl": changed}), len(data))
    del parts["archive/data/0"]
    with pytest.raises(ModelFileError, match="the bytes of tensor '0' are missing"):
        read_torch_file("x", zipped(parts), len(data))


STATE = PlainNetwork().state_dict()
REAL = {
    "zip": torch_bytes(STATE),
    "legacy": torch_bytes(STATE, _use_new_zipfile_serialization=False),
    "checkpoint": torch_bytes({"epoch": 3, "model": STATE, "target": STATE}),
    "deflated": zipped(
        {"policy.pth": torch_bytes({"q_net.a.weight": torch.zeros(2)}), "data": json.dumps({}).encode()}
    ),
    "safetensors": safetensors.torch.save(STATE),
    "teacher": TEACHER.read_bytes(),
    "pickle": pickle.dumps({"a": [1, (2, "x")], "b": Path("x")}),
}
MAGIC = [
    b"",
    b"PK\x03\x04",
    b"PK\x05\x06" + bytes(18),
    b"\x80\x02",
    b"\x80\x04",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
]
MAGIC += [
    (20).to_bytes(8, "little") + b"{",
    b"{",
    b"<html",
    b"\x1f\x8b",
    b"\x81\xa6params",
    b"\x08\x08\x12",
    b"\x93NUMPY",
]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.sampled_from(MAGIC)) + draw(st.binary(max_size=300))
    data = bytearray(REAL[draw(st.sampled_from(sorted(REAL)))])
    # What decides is at the beginning and at the end; the weights in between are many.
    places = st.integers(0, min(2500, len(data) - 1)) | st.integers(max(0, len(data) - 2500), len(data) - 1)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(places)] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        at = draw(places)
        data[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=40))
    return bytes(data[: draw(places)] if draw(st.integers(0, 3)) == 0 else data)


@settings(max_examples=400, deadline=None)
@given(files())
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    for read in (lambda: import_teacher(path, "breakout"), lambda: read_card(path)):
        try:
            read()
        except ModelFileError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
