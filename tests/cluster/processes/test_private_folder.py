"""The folder of sockets: whatever TMPDIR is, a socket can be bound in it, and nobody else can enter it."""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray._private.worker
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.processes.private_folder import FALLBACKS, longest_base, private_folder
from cluster.ray.private import _LONGEST_SOCKET

ROOM = len(_LONGEST_SOCKET)
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)
MAKE = "from cluster.processes.private_folder import private_folder; print(private_folder(66))"


@contextlib.contextmanager
def temporary(base: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(base)
    try:
        yield
    finally:
        tempfile.tempdir = before


def bind(folder: Path, room: int) -> None:
    """Bind a socket whose path is as much longer than the folder's as was asked for."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/{'s' * (room - 1)}")


@settings(max_examples=60, deadline=None)
@given(
    name=NAMES.filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200), room=st.integers(2, 86)
)
def test_a_socket_finds_room_whatever_the_temporary_folder_is_called(name: str, room: int):
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        base = Path(parent) / name
        base.mkdir()
        with temporary(base):
            folder = private_folder(room)
        try:
            bind(folder, room)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.parent in (base, *map(Path, FALLBACKS))
        finally:
            shutil.rmtree(folder)


@pytest.mark.parametrize("over", [0, 1])
def test_a_temporary_folder_serves_up_to_the_last_byte(over: int):
    length = longest_base(ROOM) + over
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as parent:
        base = Path(f"{parent}/{'x' * (length - len(parent) - 1)}")
        base.mkdir()
        with temporary(base):
            folder = private_folder(ROOM)
        bind(folder, ROOM)
        assert (folder.parent == base) == (not over)
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["missing", "file", "relative", "empty", "space", "device"])
def test_a_temporary_folder_that_does_not_serve_is_passed_over(tmp_path: Path, kind: str):
    (tmp_path / "file").touch()
    (tmp_path / "a b").mkdir()
    values = {
        "missing": "/nonexistent",
        "file": f"{tmp_path}/file",
        "relative": "a b",
        "empty": "",
        "space": f"{tmp_path}/a b",
        "device": "/dev/full",
    }
    command = [sys.executable, "-P", "-c", MAKE]
    environment = os.environ | {"TMPDIR": values[kind]}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    folder = Path(done.stdout.strip())
    folder.rmdir()
    assert str(folder.parent) in FALLBACKS


def test_where_nothing_serves_one_sentence_says_what_to_do():
    # A room that leaves no byte for a path.
    with pytest.raises(Exception, match=r"^temporary folder: expected one .* found none of /.*; set TMPDIR to such"):
        private_folder(100)


@pytest.mark.usefixtures("own_ray")
def test_rays_sockets_are_no_longer_than_expected_and_nobody_else_reaches_them():
    node = ray._private.worker.global_worker.node
    assert node is not None
    sockets = Path(node.get_sockets_dir_path())
    # r, session, sockets.
    folder = sockets.parents[2]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    longest = max(len(str(path)) for path in sockets.iterdir())
    session = sockets.parent.name
    # The last number in the session's name is a process id of one to seven digits.
    assert longest + 7 - len(session.rpartition("_")[2]) == len(str(folder)) + ROOM
