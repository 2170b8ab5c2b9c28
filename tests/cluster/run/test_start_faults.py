"""A start that fails leaves nothing, and a run that ends early says what is kept; files get what the umask leaves."""

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from cluster import cli
from cluster.state.folder import RunFolder
from tests.support.sandbox import TINY, UNTRAINED, Sandbox, new_sandbox

Capture = pytest.CaptureFixture[str]
SERIAL = (*TINY, *UNTRAINED, "--serial", "--games", "pong")


@contextlib.contextmanager
def taken_port() -> Generator[int]:
    """Listen on a port of loopback, whose number is yielded."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as made:
        yield made


@pytest.mark.parametrize("root", ["runs", "new/runs", "here"])
@pytest.mark.parametrize(
    "options, expected",
    [
        (("--metrics-port", "TAKEN"), "metrics: expected to listen on 127.0.0.1, port"),
        (("--metrics-host", "192.0.2.1"), "metrics: expected to listen on 192.0.2.1"),
        (("--metrics-host", "no such host"), "metrics: expected to listen on no such host"),
        (("--dashboard", "--dashboard-port", "TAKEN"), "dashboard: expected to listen on 127.0.0.1, port"),
        (("--metrics-targets", "/dev/null"), "metrics_targets: /dev/null is no folder"),
        (("--metrics-targets", "/proc/x"), "metrics_targets: /proc/"),
        (("--metrics-targets", "targets"), "targets/x.json exists and is no run's"),
        (("--no-serial", "--address", "127.0.0.1:1"), "ray at 127.0.0.1:1: cannot connect"),
        (("--buffer", "redis://127.0.0.1:1"), "buffer service at redis://127.0.0.1:1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_would_fail_is_found_out_before_the_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, root: str, options: tuple[str, ...], expected: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "x.json").write_text('["thesis"]')
    before = sorted(tmp_path.rglob("*"))
    with taken_port() as port:
        given = [str(port) if option == "TAKEN" else option for option in options]
        assert cli.run(["run", *SERIAL, "--root", root, "--name", "x", *given]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "targets" / "x.json").read_text() == '["thesis"]'


@pytest.mark.parametrize("root", ["new/runs", "here"])
def test_what_fails_after_the_checks_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, root: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    # A redis-server that ends at once is what nobody sees beforehand.
    binary = tmp_path / "bin" / "redis-server"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.2.0 ' || exit 3\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binary.parent}:{os.environ['PATH']}")
    before = sorted(tmp_path.rglob("*"))
    assert cli.run(["run", *SERIAL, "--root", root, "--name", "x"]) == 2
    assert "it ended with code 3" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_resumed_run_that_cannot_start_keeps_all(sandbox: Sandbox, capsys: Capture):
    sandbox.train_here("x", *SERIAL, "--updates", "60")
    run = sandbox.run("x")
    before = {path: path.read_bytes() for path in run.glob("checkpoints/*/*")}
    with taken_port() as port:
        assert cli.run(["run", "--resume", str(run), "--updates", "90", "--metrics-port", str(port)]) == 2
    assert "metrics: expected to listen" in capsys.readouterr().err
    assert before and {path: path.read_bytes() for path in run.glob("checkpoints/*/*")} == before
    (run / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("damaged")
    assert cli.run(["run", "--resume", str(run), "--updates", "90"]) == 2
    message = capsys.readouterr().err
    assert f"kept is the checkpoint of update 60; go on with: distill run --resume {run}" in message
    assert {path: path.read_bytes() for path in run.glob("checkpoints/*/*")} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_leaves_nothing(sandbox: Sandbox, number: int):
    # The first thing that a sitting starts is its redis-server; this one never gets ready.
    binary = sandbox.path / "bin" / "redis-server"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.2.0 ' || exec sleep 3\n")
    binary.chmod(0o755)
    sandbox.environment["PATH"] = f"{binary.parent}:{os.environ['PATH']}"
    run = sandbox.train("x", *SERIAL)
    run.until((sandbox.run("x") / "redis" / "server.json").exists, "redis starts")
    run.signal(number)
    assert run.wait() == 2
    assert not (sandbox.path / "runs").exists()


def test_a_stop_after_training_says_what_is_kept(sandbox: Sandbox):
    run = sandbox.train("x", *SERIAL, "--updates", "1000000")
    run.until((sandbox.run("x") / "metrics.jsonl").exists, "it trains")
    run.signal(signal.SIGINT)
    assert run.wait() == 0
    folder = RunFolder(sandbox.run("x"))
    assert f"stopped; kept is the checkpoint of update {folder.checkpointed():,}; go on with: distill run" in run.output


@pytest.mark.parametrize("mask", [0o077, 0o002])
def test_files_of_a_run_get_what_the_umask_leaves(sandbox: Sandbox, mask: int):
    before = os.umask(mask)
    try:
        sandbox.train_here("x", *SERIAL, "--updates", "60", "--final-episodes", "1", "--video")
    finally:
        os.umask(before)
    found = 0
    for path in (sandbox.run("x"), *sandbox.run("x").rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & mask, path
        # A redis-server never lets the group write what is its own.
        if mask == 0o002 and not path.is_relative_to(sandbox.run("x") / "redis" / "appendonlydir"):
            assert mode & 0o020 or path.name == "redis.log", path
        found += 1
    assert found > 20
