"""Every kind of file that people take for a model is called what it is, with the next step."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np
import onnx
import pytest
import torch
import zstandard
from onnx import helper

from distill.errors import ModelFileError
from distill.file_kinds import UNKNOWN, identify
from distill.importing import import_teacher
from distill.model_card import read_card
from distill.models import load_model
from distill.onnx_graph import build_onnx
from tests.support.foreign_networks import CleanRLQNetwork, plain, sb3

PONG = Path(__file__).parents[2] / "teachers" / "pong.safetensors"


def torch_bytes(value: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def sb3_bytes() -> bytes:
    file = io.BytesIO()
    sb3(6).save(file)
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tar(mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        archive.add(PONG, "pong.safetensors")
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{key: value.numpy() for key, value in plain().items()})
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(CleanRLQNetwork(6), torch.zeros(1, 4, 84, 84)), file)
    return file.getvalue()


def exported() -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),)), file)
    return file.getvalue()


def foreign_onnx() -> bytes:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    return helper.make_model(graph, producer_name="pytorch").SerializeToString()


def own_onnx() -> bytes:
    network, _ = load_model(PONG)
    return build_onnx(network).SerializeToString()


def encrypted() -> bytes:
    data = bytearray(zipped({"policy.pth": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


OTHERS: list[tuple[Callable[[], bytes], str]] = [
    (lambda: bz2.compress(b"x" * 999), "a file compressed with bzip2; .*bunzip2 -c"),
    (lambda: lzma.compress(b"x" * 999), "a file compressed with xz; .*unxz -c"),
    (lambda: zstandard.compress(b"x" * 999), "a file compressed with zstd; .*unzstd -c"),
    (tar, "a tar archive; .*tar -xf"),
    (lambda: b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(30), "a 7-Zip archive; .*7z x"),
    (lambda: b"Rar!\x1a\x07\x01\x00" + bytes(30), "a RAR archive; .*unrar x"),
    (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer.*lfs pull",
    ),
    (lambda: b"\n<!DOCTYPE html>\n<html><head>", "a web page.*fetch the file itself"),
    (lambda: b"\xef\xbb\xbf<HTML>", "a web page"),
    (lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    (lambda: json.dumps({"error": "not found"}).encode(), "a JSON text"),
    (lambda: b'{"data":{"message":"rate limit"}}', "a JSON text"),
    (lambda: b"", "an empty file; copy or download it again"),
    (lambda: "Sehr geehrte Damen, öffnen Sie\n".encode() * 2, "a text file"),
    (lambda: "é".encode() * 5000, "a text file"),
    (lambda: zipped({"notes.txt": b"", "\n\x1b[31m": b""}), r"a zip of notes.txt, \\n\\x1b\[31m"),
    (lambda: zipped({}), "a zip of nothing"),
    (lambda: zipped({"x": b""}).replace(b"x", b"\0"), "a zip of nothing"),
    (encrypted, "an encrypted zip"),
    (scripted, r"a TorchScript archive.*torch.jit.load\('"),
    (exported, "a program of torch.export"),
    (npz, r"an npz file of NumPy; .*numpy.load\('"),
    (npy, "a single NumPy array"),
    (lambda: zipped({"config.json": b"{}", "model.weights.h5": b""}), "a Keras model"),
    (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    (lambda: zipped({"m/saved_model.pb": b""}), "a TensorFlow model"),
    (lambda: b"\x08\x01\x12\xa7\x05\x0a\x0e\x32\x02\x10\x02", "a TensorFlow model"),
    (own_onnx, "an ONNX file that `distill export` wrote"),
    (lambda: b"REDIS0009\xfa\x09redis-ver", "a dump of Redis"),
    (lambda: b"\x89PNG\r\n\x1a\n", "a picture or video"),
    (lambda: b"GIF89a", "a picture or video"),
]


@pytest.mark.parametrize(("make", "message"), OTHERS)
def test_other_files_are_called_what_they_are(make: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "my model.zip"
    path.write_bytes(make())
    for read in (lambda: import_teacher(path, "pong"), lambda: read_card(path), lambda: load_model(path)):
        with pytest.raises(ModelFileError, match=message) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sb3_bytes, "a Stable-Baselines3 zip; import it first: distill import-teacher '.*my model.zip' --game GAME"),
        (lambda: torch_bytes(plain()), "a PyTorch file; import it first"),
        (lambda: gzip.compress(PONG.read_bytes()[:9000]), "a file compressed with gzip; .*gunzip -c"),
        (lambda: tar("w:gz"), "a file compressed with gzip"),
        (lambda: zipped({"dqn.zip": sb3_bytes()}), "a zip around dqn.zip; .*unzip"),
        (lambda: zipped({"x/q.pth": torch_bytes(plain())}), "a zip around x/q.pth; .*unzip"),
        (lambda: msgpack.packb({"params": {"Conv_0": {"kernel": b"x" * 99}}}), r"a msgpack file of Flax \(JAX\)"),
        (lambda: msgpack.packb({"0": {"seed": 1}, "1": {"params": {}}}), "a msgpack file of Flax"),
        (lambda: torch_bytes(plain(), _use_new_zipfile_serialization=False), "a PyTorch file; import it first"),
        (foreign_onnx, "an ONNX file; import it first: distill import-teacher"),
        (lambda: pickle.dumps(plain()), "a pickle that torch.save did not write; such a file can run code"),
        (lambda: torch_bytes(plain())[:-100], "a truncated or damaged zip; copy or download it again"),
        (lambda: b"\x00\x01" * 99, "not a safetensors file, but bytes of no known format"),
    ],
)
def test_what_can_be_imported_is_not_taken_for_a_model_file(
    make: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "my model.zip"
    path.write_bytes(make())
    for read in (read_card, load_model):
        with pytest.raises(ModelFileError, match=message):
            read(path)


def test_a_zip_repacked_with_its_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "dqn.zip").write_bytes(sb3_bytes())
    expected, _ = import_teacher(tmp_path / "dqn.zip", "pong")
    with zipfile.ZipFile(tmp_path / "dqn.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    shadows = {f"__MACOSX/my dqn/._{name}": b"x" for name in parts}
    (tmp_path / "again.zip").write_bytes(zipped({f"my dqn/{name}": data for name, data in parts.items()} | shadows))
    network, card = import_teacher(tmp_path / "again.zip", "pong")
    assert torch.equal(network.fc.weight, expected.fc.weight)
    assert card.training["imported_from"]["format"] == "Stable-Baselines3 DQN"
    (tmp_path / "two.zip").write_bytes(zipped({f"{top}/{name}": data for name, data in parts.items() for top in "ab"}))
    with pytest.raises(ModelFileError, match="expected one model of Stable-Baselines3, found 2; zip one alone"):
        import_teacher(tmp_path / "two.zip", "pong")


def test_what_begins_like_nothing_known_is_unknown() -> None:
    for data in (b"\x00", b"\x80", b"\xde", b"\x81", b"\x08", bytes(5000), b"\xff" * 8 + b"{"):
        assert identify(data) is UNKNOWN
    assert onnx.load_model_from_string(own_onnx()).producer_name == "policy-distillery", "by which ours is known"
