"""`distill watch`: a process that serves a run's page until ctrl-C."""

import http.client
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cluster.commands.watch import command
from distill.errors import ConfigError
from tests.support.sandbox import Sandbox, new_sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_newest_run_until_ctrl_c_or_sigterm(sandbox: Sandbox, small_run: Path, number: signal.Signals):
    process = sandbox.start("watch", "--root", str(small_run.parent))
    match = process.until(lambda: re.search(r"small: http://127\.0\.0\.1:(\d+)/", process.output), "it says where")
    assert match is not None
    connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"distill watch" in answer.read()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10, "it gives way to the run"
    stream = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=30)
    stream.request("GET", "/live")
    answer = stream.getresponse()
    assert any(line.startswith(b"data:") for line in answer), "games are played"
    process.signal(number)
    assert process.wait() == 0, "an open stream does not hold it up"
    assert "Traceback" not in process.output


def test_a_token_comes_from_a_file_or_the_environment(sandbox: Sandbox, small_run: Path):
    (sandbox.path / "token").write_text("a token of its own\n")
    process = sandbox.start("watch", str(small_run), "--host", "0.0.0.0", "--token-file", "token")
    match = process.until(lambda: re.search(r"http://0\.0\.0\.0:(\d+)/", process.output), "it says where")
    assert match is not None
    for authorization, status in (("Bearer a token of its own", 200), ("Bearer another token ", 401)):
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=30)
        connection.request("GET", "/state", headers={"Authorization": authorization})
        assert connection.getresponse().status == status
    assert "a token of its own" not in process.output
    process.signal(signal.SIGINT)
    process.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--root", "/nowhere"), "no run in /nowhere"),
        (("/nowhere", "--token-file", "/nowhere/token"), "token file /nowhere/token: cannot be read"),
        (("/nowhere", "--host", "0.0.0.0"), "a token is required"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISTILL_WATCH_TOKEN", raising=False)
    monkeypatch.setattr(os, "nice", lambda increment: increment)
    with pytest.raises(ConfigError, match=message):
        command(arguments, Console(quiet=True))
