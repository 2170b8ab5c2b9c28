"""The private redis-server: it starts, resumes, refuses and leaves nothing behind."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from cluster.redis import ownership
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from distill.errors import RunError
from tests.support.chunk_streams import is_running, until

RUN_THAT_HANGS = """
import sys, time
from pathlib import Path
from cluster.redis.private_server import PrivateRedis
server = PrivateRedis(Path(sys.argv[1]))
sys.platform = sys.argv[2]
server.start()
print(server.pid, server.url, flush=True)
time.sleep(300)
"""


def start_a_run(directory: Path, platform: str = "linux") -> tuple[subprocess.Popen[str], int, Path]:
    """Start a process with a private server; return it, the server's process id and its socket."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_THAT_HANGS, str(directory), platform], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    return process, int(pid), Path(url.removeprefix("unix://"))


def test_it_leaves_its_data_and_nothing_else(redis_binary: str, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path, binary=redis_binary) as server:
        pid, socket = server.pid, Path(server.url.removeprefix("unix://"))
        assert pid is not None
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert os.getsid(pid) != os.getsid(0), "ctrl-C at the terminal must not reach it"
        client = connect(server.url)
        client.set("key", "value")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.info("server")["tcp_port"] == 0
    assert server.pid is None
    assert not is_running(pid)
    assert not socket.parent.exists()
    server.stop()
    with PrivateRedis(tmp_path, binary=redis_binary) as server:
        assert connect(server.url).get("key") == b"value"


def test_a_killed_server_starts_again_at_the_same_address(own_redis: PrivateRedis) -> None:
    url, pid = own_redis.url, own_redis.pid
    assert pid is not None
    client = connect(url)
    client.set("key", "value")
    os.kill(pid, signal.SIGKILL)
    until(lambda: own_redis.pid is None, "the killed server ends")
    own_redis.start()
    assert own_redis.url == url
    assert own_redis.pid not in (None, pid)
    assert client.get("key") == b"value"


def test_a_damaged_file_is_reported_with_the_log(redis_binary: str, tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(b"this is no append-only file\r\n" * 3)
    server = PrivateRedis(tmp_path, binary=redis_binary)
    with pytest.raises(RunError, match=r"ended with code 1.*last lines(.|\n)*Bad file format"):
        server.start()
    assert server.pid is None
    with pytest.raises(RunError, match="not started"):
        _ = server.url


def test_two_runs_in_one_directory_are_refused(own_redis: PrivateRedis, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"found process {os.getpid()} and its redis-server {own_redis.pid}"):
        PrivateRedis(tmp_path / "redis").start()
    assert connect(own_redis.url).ping()


def test_the_server_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    run, pid, socket = start_a_run(tmp_path)
    connect(f"unix://{socket}").set("key", "value")
    run.kill()
    run.wait()
    until(lambda: not is_running(pid), "the server ends")
    with PrivateRedis(tmp_path) as server:
        assert connect(server.url).get("key") == b"value"
        assert not socket.parent.exists(), "what the killed run has left is cleaned up"


def test_a_server_left_behind_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Elsewhere than on Linux nothing ends the server with its run.
    run, pid, socket = start_a_run(tmp_path, platform="another")
    connect(f"unix://{socket}").set("key", "value")
    run.kill()
    run.wait()
    os.kill(pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(ownership, "_ENDING_SECONDS", 0.2)
        with pytest.raises(RunError, match=rf"redis-server {pid} of a run that has ended"):
            PrivateRedis(tmp_path).start()
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    with PrivateRedis(tmp_path) as server:
        assert not is_running(pid)
        assert connect(server.url).get("key") == b"value"


def test_a_foreign_process_is_never_ended(tmp_path: Path) -> None:
    """An id in the lock file that now belongs to another process is left alone."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    holder = ownership.claim(tmp_path)
    try:
        forged = ownership.Ownership(2**22 + 1, 5, stranger.pid, 5, "none")
        (tmp_path / ownership.OWNER).write_text(json.dumps(asdict(forged)))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(RunError, match="end it by hand"):
            patch.setattr(ownership, "_ENDING_SECONDS", 0.2)
            ownership.claim(tmp_path)
        assert is_running(stranger.pid)
    finally:
        ownership.release(tmp_path, holder)
        stranger.kill()
        stranger.wait()


def test_its_record_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    """`distill models` and a second run read it while the run starts its server again."""
    holder = ownership.claim(tmp_path)
    writer = threading.Thread(target=lambda: [ownership.record(tmp_path, n, tmp_path) for n in range(1, 300)])
    try:
        ownership.record(tmp_path, 0, tmp_path)
        writer.start()
        found: set[int] = set()
        while writer.is_alive():
            found.add(json.loads((tmp_path / ownership.OWNER).read_bytes())["server"])
        assert len(found) > 2, "some were read between the first and the last"
    finally:
        writer.join()
        ownership.release(tmp_path, holder)
    assert ownership.running_server(tmp_path) is None


def test_a_copy_of_a_running_folder_leaves_its_sockets_alone(own_redis: PrivateRedis, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "redis", tmp_path / "copy")
    with PrivateRedis(tmp_path / "copy") as server:
        assert server.url != own_redis.url
    assert connect(own_redis.url).ping()


def test_an_older_server_is_not_started_on_data_of_redis_7(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "appendonlydir").mkdir()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match=r"expected version 7\.0 or newer, found .*6\.2"):
        PrivateRedis(tmp_path).start()


def test_a_long_temporary_directory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with PrivateRedis(tmp_path / "redis") as server:
        assert len(server.url.removeprefix("unix://")) <= 107
