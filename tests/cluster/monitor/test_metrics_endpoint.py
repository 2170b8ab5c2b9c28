"""The metrics' port, over real connections: who is answered, and what clients can hold of the run's process."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from cluster.monitor.metrics.endpoint import MOST_SHARE, metrics_server
from cluster.monitor.metrics.exporter import Exporter
from cluster.web import connections
from cluster.web import server as web_server
from cluster.web.connections import MOST_CONNECTIONS
from cluster.web.guard import SECURITY
from tests.support.http_client import ask, connect, send
from tests.support.sandbox import until

GAMES = ("breakout", "pong")
HEAD = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter(GAMES, ("learner",)) as served:
        yield served


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_idle_connections_cost_neither_threads_nor_more_than_a_few_descriptors(exporter: Exporter):
    threads, before = threading.active_count(), descriptors()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(exporter)) for _ in range(600)]
        assert ask(exporter, "/metrics").status == 200, "Prometheus is let in at once"
        assert threading.active_count() == threads
        # Each client has one here as well. The newest of them is hung up on for the scrape's own.
        assert descriptors() - before - len(clients) <= MOST_CONNECTIONS
        assert clients[0].recv(1) == b"", "it gave way"


@pytest.mark.parametrize(
    "head", [b"", b"GET /metr", HEAD, HEAD + b"\r\n"], ids=["silent", "unfinished", "headless", "idle"]
)
def test_a_client_that_says_nothing_more_is_hung_up_on(
    exporter: Exporter, head: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    answer = send(exporter, head)
    assert answer.startswith(b"HTTP/1.1 200") if head.endswith(b"\r\n\r\n") else answer == b""


def test_a_head_that_trickles_is_hung_up_on(exporter: Exporter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with connect(exporter) as client:
        client.sendall(HEAD)
        client.settimeout(0.05)
        with pytest.raises((ConnectionError, AssertionError)):
            while True:
                client.sendall(b"X: y\r\n")
                with contextlib.suppress(TimeoutError):
                    assert client.recv(1)


def test_a_head_of_1_mb_is_refused_before_it_is_read_to_its_end(exporter: Exporter):
    with connect(exporter) as client, contextlib.suppress(ConnectionError):
        client.sendall(HEAD + b"X: ".ljust(2**20, b"y"))
        assert client.recv(2**10).startswith(b"HTTP/1.0 400")
    assert ask(exporter, "/metrics").status == 200


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 1000000000\r\n\r\nsome", b"Transfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n"],
    ids=["long", "chunked"],
)
def test_a_request_that_never_ends_is_answered_and_hung_up_on(exporter: Exporter, body: bytes):
    began = time.monotonic()
    assert send(exporter, HEAD + body).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < connections.HEAD_SECONDS


def test_clients_that_take_nothing_are_dropped(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(web_server, "SEND_BYTES", 4096)
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.2)
    with caplog.at_level(logging.DEBUG), Exporter(GAMES, ("learner",)) as exporter, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(connect(exporter).getpeername())
            client.sendall((HEAD + b"\r\n") * 20)
        assert ask(exporter, "/metrics").status == 200, "they hold up nobody"
        until(lambda: "within 0.2 s (3 so far)" in caplog.text, "they are dropped")


def test_only_the_metrics_can_be_read(exporter: Exporter):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = ask(exporter, "/metrics", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    head = ask(exporter, "/metrics", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {key: head.headers[key] for key in SECURITY} == SECURITY
    for path in ("/", "/nothing", "/metrics/", "/../metrics"):
        assert ask(exporter, path).status == 404
    assert ask(exporter, "/metrics", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0", "text/plain; version=0.0.4"])
def test_the_formats_of_prometheus_are_spoken(exporter: Exporter, accept: str):
    answer = ask(exporter, "/metrics", Accept=accept)
    assert answer.headers["Content-Type"].startswith(accept.partition(";")[0] or "text/plain")
    assert b"distill_learner_updates" in answer.body


@pytest.mark.parametrize(
    "listens, host, status",
    [
        ("127.0.0.1", "localhost:1", 200),
        ("127.0.0.1", "127.8.8.8", 200),
        ("127.0.0.1", "evil.example", 421),
        ("127.0.0.1", "10.0.0.1:80", 421),
        ("127.0.0.1", socket.gethostname() + ".example", 421),
        ("127.0.0.1", "", 421),
        ("localhost", "localhost", 200),
        ("0.0.0.0", "10.0.0.1:9400", 200),
        ("0.0.0.0", "[fd00::1]:9400", 200),
        ("0.0.0.0", socket.gethostname().upper() + ":9400", 200),
        ("0.0.0.0", "localhost:9400", 200),
        ("0.0.0.0", "evil.example:9400", 421),
        ("0.0.0.0", "10.0.0.1.evil.example", 421),
        ("0.0.0.0", "", 421),
    ],
)
def test_it_answers_to_its_addresses_and_its_own_names(listens: str, host: str, status: int):
    with Exporter(GAMES, ("learner",), listens) as exporter:
        assert ask(exporter, "/metrics", Host=host).status == status


def test_the_log_tells_once_by_which_names_it_can_be_asked(caplog: pytest.LogCaptureFixture):
    with Exporter(GAMES, ("learner",), "0.0.0.0") as exporter:
        for _ in range(3):
            assert ask(exporter, "/metrics", Host="a\x1b[2Jb.example").status in (400, 421)
            assert ask(exporter, "/metrics", Host="gpu7.example:9400").status == 421
    assert caplog.text.count("refused a request") == 1
    assert f"'gpu7.example'; it answers to addresses and 0.0.0.0 and {socket.gethostname().lower()}" in caplog.text


class Laborious(Collector):
    """Metrics that take some of a core to collect."""

    SECONDS = 0.01

    def collect(self) -> Iterator[Metric]:
        end = time.thread_time() + self.SECONDS
        while time.thread_time() < end:
            pass
        yield from ()


def test_scrapes_at_once_are_all_answered_and_leave_the_core_to_the_run_in_between():
    registry = CollectorRegistry()
    registry.register(Laborious())
    with metrics_server(registry, "127.0.0.1", 0) as server, ThreadPoolExecutor(4) as threads:
        began = time.monotonic()
        answers = [each.result() for each in [threads.submit(ask, server, "/metrics") for _ in range(8)]]
        assert time.monotonic() - began >= 7 * Laborious.SECONDS / MOST_SHARE
    assert {answer.status for answer in answers} == {200}
