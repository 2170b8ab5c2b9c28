"""Files are written where they are told, whole or not at all, with the rights that they had or the umask leaves."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.errors import ConfigError
from distill.files import begins_with, remove_leftovers, require_writable, write_atomically
from tests.support import programs

NOBODY = 65534


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask, expected", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path, umask: None, mask: int, expected: int):
    os.umask(mask)
    write_atomically(tmp_path / "new", b"data")
    assert mode(tmp_path / "new") == expected


@pytest.mark.parametrize("before", [0o600, 0o640, 0o664, 0o755])
def test_an_existing_file_keeps_its_mode_and_owner(tmp_path: Path, before: int):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(before)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    owner = path.stat().st_uid, path.stat().st_gid
    write_atomically(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", before)
    assert (path.stat().st_uid, path.stat().st_gid) == owner


@pytest.mark.parametrize("target", ["file", "missing"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path, target: str, hops: int):
    (tmp_path / "elsewhere").mkdir()
    named = tmp_path / "elsewhere" / target
    if target == "file":
        named.write_bytes(b"old")
        named.chmod(0o600)
    link = named
    for hop in range(hops):
        link = tmp_path / f"link{hop}"
        link.symlink_to(named if hop == 0 else f"link{hop - 1}")
    require_writable("out", link)
    write_atomically(link, b"new")
    assert link.is_symlink() and named.read_bytes() == b"new" and not named.is_symlink()
    assert target == "missing" or mode(named) == 0o600
    assert names(tmp_path / "elsewhere") == [target]


def test_a_device_is_written_to_and_stays(tmp_path: Path):
    write_atomically(Path("/dev/null"), b"data")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to("/dev/null")
    write_atomically(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink() and Path("/dev/null").is_char_device()
    with pytest.raises(OSError, match="No space left"):
        write_atomically(Path("/dev/full"), b"data")
    assert Path("/dev/full").is_char_device()


def test_a_pipe_is_written_to_and_stays(tmp_path: Path):
    path, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    require_writable("out", path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_atomically(path, b"data")
    reader.join(10.0)
    assert read == [b"data"] and path.is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["a pipe", "a file"])
def test_what_is_printed_before_stays_before_what_goes_to_a_descriptor(tmp_path: Path, name: str, into: str):
    program = (
        "import sys; from pathlib import Path; from distill.files import *; print('before', flush=True);"
        " require_writable('out', Path(sys.argv[1])); write_atomically(Path(sys.argv[1]), b'data\\n'); print('after')"
    )
    command = [sys.executable, "-c", program, name]
    if into == "a pipe":
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        text = (tmp_path / "out").read_bytes()
    assert text == b"before\ndata\nafter\n"


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_content_is_replaced_whole(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes):
    path = tmp_path_factory.mktemp("folder") / ("n" * 255)
    for data in (old, new):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert names(path.parent) == [path.name]


def test_a_write_that_fails_leaves_the_old_content_and_no_other_file(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = (
        "import resource, signal, sys; from pathlib import Path; from distill.files import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomically(Path(sys.argv[1]), bytes(5000))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_files_of_the_user_beside_the_file_are_left_alone(tmp_path: Path):
    (tmp_path / f"file.{os.getpid()}.tmp").write_text("thesis")
    (tmp_path / "thesis.tmp").write_text("thesis")
    (tmp_path / ".distill-0123456789abcdef.tmp").write_text("half")
    write_atomically(tmp_path / "file", b"data")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["file", f"file.{os.getpid()}.tmp", "thesis.tmp"]


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda folder: folder / "missing" / "x", "missing is no folder; make it first"),
        (lambda folder: folder, "it is a folder"),
        (lambda folder: folder / "file" / "x", "Not a directory"),
        (lambda folder: folder / ("x" * 256), "File name too long"),
        (lambda folder: folder / "loop", "symbolic links"),
        (lambda folder: folder / "dangling", "missing is no folder; make it first"),
        (lambda folder: Path("/proc/x"), "/proc/x cannot be written"),
        (lambda folder: Path("/dev/fd/999"), "Bad file descriptor"),
        (lambda folder: folder / "socket", "it is a socket"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_found_out_before(tmp_path: Path, make: Callable[[Path], Path], expected: str):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("missing/x")
    program = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, "socket"], cwd=tmp_path, check=True)
    before = names(tmp_path)
    with pytest.raises(ConfigError, match=r"^out: ") as caught:
        require_writable("out", make(tmp_path))
    assert expected in str(caught.value)
    assert names(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="without root")
@pytest.mark.skipif(programs.find("setpriv") is None, reason=programs.without("setpriv"))
@pytest.mark.parametrize("foreign", ["folder", "folder/out"])
def test_what_belongs_to_another_user_is_refused_and_not_replaced(tmp_path: Path, foreign: str):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    (folder / "out").write_text("thesis")
    os.chown(tmp_path / foreign, NOBODY, NOBODY)
    for call in ("write_atomically(Path('out'), b'data')", "require_writable('out', Path('out'))"):
        program = f"from pathlib import Path; from distill.files import *; {call}"
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-c", program]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert "Permission denied" in done.stderr
        assert (folder / "out").read_text() == "thesis" and names(folder) == ["out"]


@pytest.mark.parametrize("content, refused", [(b"", False), (b"made by us: x", False), (b"thesis", True)])
def test_only_a_file_of_ours_or_an_empty_one_is_replaced(tmp_path: Path, content: bytes, refused: bool):
    path = tmp_path / "file"
    path.write_bytes(content)

    def check() -> None:
        require_writable("out", path, ours=lambda found: begins_with(found, b"made by us"), kind="a file of ours")

    if refused:
        with pytest.raises(ConfigError, match="expected a file of ours to replace, found something else"):
            check()
    else:
        check()
    assert path.read_bytes() == content
