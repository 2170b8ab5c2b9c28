"""`--dashboard`: a run serves its live page and takes it along when it ends, however it ends."""

import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.monitor.live_page import dashboard
from distill.errors import RunError
from tests.support.sandbox import UNTRAINED, Sandbox, new_sandbox, processes, until

pytestmark = pytest.mark.timeout(300)
OPTIONS = ("--games", "breakout", "--updates", "1000000", *UNTRAINED, "--dashboard", "--serial")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_page_lives_as_long_as_the_run(sandbox: Sandbox, number: signal.Signals):
    run = sandbox.train("run", *OPTIONS)
    address = run.until(lambda: re.search(r"dashboard: .*?(http://\S+)", run.output), "the page's address")[1]
    with urllib.request.urlopen(address, timeout=10.0) as page:
        assert b"<html" in page.read()
    run.signal(number)
    run.wait()
    until(lambda: not processes(sandbox.path), "the page and all else is gone", 20.0)


def test_a_page_that_cannot_be_served_says_why(small_run: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = f"found: distill watch: watch: expected to listen on 127.0.0.1, port {port}, found: Address already"
        with pytest.raises(RunError, match=why), dashboard(small_run, port):
            pytest.fail("it listens where another one does")
