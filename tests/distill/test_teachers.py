"""A folder of teachers: strangers in it stop nothing that does not need them, and are never passed over in silence."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.errors import ConfigError, ModelFileError
from distill.models import load_model, save_model
from distill.networks import QNetwork
from distill.teachers import choose_teachers, find_teachers

TEACHERS = Path(__file__).parents[2] / "teachers"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def a_student(path: Path) -> None:
    _, card = load_model(TEACHERS / "pong.safetensors")
    network = QNetwork(ARCHITECTURES["teacher"], card.actions)
    save_model(path, network, type(card)("student", network.architecture, network.actions))


def a_checkpoint(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path)


STRANGERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("a broken link", lambda path: path.symlink_to("gone"), "expected a model file, found a broken link to gone"),
    (
        "a pointer",
        lambda path: path.write_bytes(POINTER),
        "a Git LFS pointer, not the file itself; fetch the file with",
    ),
    (
        "a cut file",
        lambda path: path.write_bytes((TEACHERS / "breakout.safetensors").read_bytes()[:9999]),
        "truncated or damaged: expected",
    ),
    ("an empty file", lambda path: path.touch(), "an empty file; copy or download it again"),
    ("a folder", lambda path: path.mkdir(), "expected a model file, found a directory"),
    ("a pipe", os.mkfifo, "expected a model file, found something else"),
    ("a student", a_student, "expected a teacher of one game, found a student of pong"),
    ("a checkpoint", a_checkpoint, "a PyTorch file; import it first: distill import-teacher"),
    ("a loop of links", lambda path: path.symlink_to(path.name), "breakout.safetensors: "),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a teacher of Pong, and what macOS puts beside it."""
    folder = tmp_path / "my teachers"
    folder.mkdir()
    shutil.copy(TEACHERS / "pong.safetensors", folder)
    (folder / "._pong.safetensors").write_bytes(b"\x00\x05\x16\x07" + bytes(100))
    (folder / ".DS_Store").write_bytes(b"\x00")
    (folder / "notes.txt").write_text("mine")
    return folder


def test_hidden_and_other_files_are_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / ".gone.safetensors").symlink_to("gone")
    assert list(choose_teachers([folder], [])) == ["pong"]
    assert find_teachers([folder]).refused == []
    assert caplog.records == []


@pytest.mark.parametrize(("name", "put", "reason"), STRANGERS, ids=[name for name, _, _ in STRANGERS])
def test_a_stranger(
    name: str, put: Callable[[Path], object], reason: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = folder / "breakout.safetensors"
    put(stranger)
    found = find_teachers([folder])
    assert [teacher.game for teacher in found.teachers] == ["pong"]
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"{stranger}: ") and reason in found.refused[0]

    with caplog.at_level(logging.WARNING):
        assert list(choose_teachers([folder], ["pong"])) == ["pong"]
    (record,) = caplog.records
    assert record.getMessage() == f"teachers: skipped {found.refused[0]}"

    with pytest.raises(ConfigError, match="no teacher for breakout, perhaps because of") as caught:
        choose_teachers([folder], ["pong", "breakout"])
    assert found.refused[0] in str(caught.value)

    with pytest.raises(ModelFileError, match="mend it or move it away, or name games with --games") as refused:
        choose_teachers([folder], [])
    assert str(refused.value).startswith(found.refused[0])


@pytest.mark.parametrize(("name", "put", "reason"), STRANGERS, ids=[name for name, _, _ in STRANGERS])
def test_a_file_that_is_named_must_be_a_teacher(
    name: str, put: Callable[[Path], object], reason: str, folder: Path
) -> None:
    stranger = folder / "breakout.safetensors"
    put(stranger)
    if stranger.is_dir():
        assert find_teachers([stranger]).teachers == []
        return
    with pytest.raises((ModelFileError, ConfigError)) as caught:
        choose_teachers([folder / "pong.safetensors", stranger], ["pong"])
    assert str(stranger) in str(caught.value)


def test_missing_places_are_called_what_they_are(folder: Path) -> None:
    (folder / "gone").symlink_to("nowhere")
    (folder / "empty").mkdir()
    for place, message in (
        (folder / "missing", "teachers: no such folder .*missing; name another with --teachers, or make a teacher"),
        (folder / "missing.safetensors", "teachers: no such file .*missing.safetensors;"),
        (folder / "gone", "teachers: .*gone is a broken link to nowhere"),
        (folder / "empty", r"teachers: no \*.safetensors in .*empty; import one"),
        (folder / "notes.txt", "notes.txt: not a safetensors file, but a text file"),
    ):
        with pytest.raises((ConfigError, ModelFileError), match=message):
            choose_teachers([place], ["pong"])


@pytest.mark.skipif(os.geteuid() == 0, reason="as root, who may do everything")
def test_what_may_not_be_read(folder: Path) -> None:
    (folder / "breakout.safetensors").touch(mode=0)
    assert "cannot be read: Permission denied" in find_teachers([folder]).refused[0]
    folder.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        find_teachers([folder])
    folder.chmod(0o700)
