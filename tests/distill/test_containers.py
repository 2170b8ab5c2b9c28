"""A model file is found in whatever it is packed in: gzip, a zip of a folder, a folder; and told why if it is not."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distill.errors import ModelFileError
from distill.importing import import_teacher
from tests.support.foreign_networks import plain, saved, sb3

Make = Callable[[Path], Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(tmp_path_factory.mktemp("model") / "q.pth", plain()).read_bytes()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def in_folder(folder: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        written(folder / name, data)
    return folder


def agent(model: bytes) -> dict[str, bytes]:
    """As PFRL saves an agent (pfrl/agents/dqn.py, `saved_attributes`)."""
    return {"best/model.pt": model, "best/target_model.pt": model, "best/optimizer.pt": b"x", "best/scores.txt": b"1"}


@pytest.mark.parametrize(
    ("make", "members"),
    [
        (lambda at, data: written(at / "q.pth.gz", gzip.compress(data)), ["gunzip"]),
        (lambda at, data: zipped(at / "best.zip", agent(data)), ["best/model.pt"]),
        (lambda at, data: zipped(at / "x.zip", {"__MACOSX/._q.pth": b"x", "q.pth": data}), ["q.pth"]),
        (lambda at, data: in_folder(at / "agent", agent(data)), []),
        (
            lambda at, data: in_folder(at / "run", {"a/b/q.pth.gz": gzip.compress(data), "notes.txt": b"x"}),
            ["gunzip"],
        ),
        (
            lambda at, data: zipped(at / "y.zip", {"z.zip": zipped(at / "z.zip", {"q.pth": data}).read_bytes()}),
            ["z.zip", "q.pth"],
        ),
    ],
)
def test_the_model_is_found(make: Callable[[Path, bytes], Path], members: list[str], model: bytes, tmp_path: Path):
    path = make(tmp_path, model)
    network, card = import_teacher(path, "pong")
    expected, _ = import_teacher(written(tmp_path / "plain" / "q.pth", model), "pong")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected.parameters(), strict=True))
    source = card.training["imported_from"]
    assert source.get("members", []) == members


def test_a_zip_of_stable_baselines3_in_gzip(tmp_path: Path):
    file = io.BytesIO()
    sb3(6).save(file)
    _, card = import_teacher(written(tmp_path / "dqn.zip.gz", gzip.compress(file.getvalue())), "pong")
    assert card.training["imported_from"]["format"] == "Stable-Baselines3 DQN"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at, data: written(at / "q.gz", gzip.compress(data)[:-1]), "q.gz: truncated or damaged gzip"),
        (lambda at, data: written(at / "q.gz", gzip.compress(data)[:9000]), "truncated or damaged gzip"),
        (lambda at, data: written(at / "q.gz", gzip.compress(data) + b"x"), "truncated or damaged gzip"),
        (lambda at, data: written(at / "q.gz", b"\x1f\x8b" + bytes(50)), "truncated or damaged gzip"),
        (
            lambda at, data: written(at / "q.gz", gzip.compress(bytes(2**25))),
            r"it unpacks to more than \d+ bytes, expected at most that from \d+",
        ),
        (lambda at, data: written(at / "q.pth.gz", gzip.compress(data[:-100])), "q.pth.gz: gunzip: truncated or dam"),
        (lambda at, data: zipped(at / "q.zip", {"a.pth": data, "b.pth": data}), "found a.pth, b.pth; name the file"),
        (lambda at, data: zipped(at / "q.zip", {"target.pth": data}), "expected one model file in it, found none"),
        (lambda at, data: zipped(at / "q.zip", {"a.pth": data[:-100]}), "q.zip: a.pth: truncated or damaged zip"),
        (lambda at, data: in_folder(at / "run", {"a/x.pth": data, "b/x.pth": data}), "found a/x.pth, b/x.pth"),
        (lambda at, data: in_folder(at / "run", {"notes.txt": data}), "run: expected one model file in it, found none"),
        (
            lambda at, data: written(at / "q.gz", gzip.compress(gzip.compress(gzip.compress(gzip.compress(data))))),
            "found one packed 4 times",
        ),
    ],
)
def test_what_holds_no_model(make: Callable[[Path, bytes], Path], message: str, model: bytes, tmp_path: Path):
    path = make(tmp_path, model)
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(path, "pong")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
