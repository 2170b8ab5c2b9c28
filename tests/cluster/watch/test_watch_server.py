"""The live page's server, over real connections: what it serves, to whom, and its limits."""

import base64
import contextlib
import io
import json
import logging
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import imageio.v2 as imageio
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from cluster.state.folder import METRICS
from cluster.watch.access import Access
from cluster.watch.routes import MODELS, RUN
from cluster.watch.server import WatchServer
from cluster.watch.streams import MOST_STREAMS
from cluster.web import connections
from cluster.web import server as web_server
from cluster.web.connections import HEAD_SECONDS, MOST_CONNECTIONS
from cluster.web.guard import SECURITY
from cluster.web.server import STOP_SECONDS
from distill.errors import ConfigError, RunError
from tests.support.http_client import ask, connect, send
from tests.support.live_page import frames
from tests.support.sandbox import until

TOKEN = "correct horse battery"
SERVED = {name for name, _ in (*RUN.values(), *MODELS.values())}
"""Files of both pages."""


@pytest.fixture
def server(small_run: Path) -> Iterator[WatchServer]:
    with WatchServer(small_run) as server:
        yield server


@pytest.fixture
def guarded(small_run: Path) -> Iterator[WatchServer]:
    """A server with a token."""
    with WatchServer(small_run, token=TOKEN) as server:
        yield server


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{token}".encode()).decode()


def test_the_page_is_every_file_of_its_folder_and_no_other():
    files = {file.name for file in resources.files("cluster.watch").joinpath("page").iterdir()}
    assert {name for name in files if not name.endswith(".py")} == SERVED


def test_the_page_is_served_with_strict_rules_for_browsers(server: WatchServer):
    for path, (name, kind) in RUN.items():
        answer = ask(server, path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert answer.body == resources.files("cluster.watch").joinpath("page", name).read_bytes()
        assert {key: answer.headers[key] for key in SECURITY} == SECURITY
    policy = SECURITY["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_names_no_other_place_and_has_no_inline_script():
    for name in SERVED:
        text = resources.files("cluster.watch").joinpath("page", name).read_text()
        assert not re.search(r"\w+://|url\(|@import|\beval\b|innerHTML", text.replace("http://www.w3.org/2000/svg", ""))
    for name in ("index.html", "play.html"):
        page = resources.files("cluster.watch").joinpath("page", name).read_text()
        assert page.count("<script") == page.count("<script src=") + page.count('<script type="module" src=')
        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/server.py",
        "/../cli.py",
        "/%2e%2e/cli.py",
        "/watch.css/../access.py",
        "/watch.css/",
        "/config.yaml",
    ],
)
def test_other_paths_are_not_found(server: WatchServer, path: str):
    answer = ask(server, path)
    assert answer.status == 404
    assert {key: answer.headers[key] for key in SECURITY} == SECURITY
    assert answer.body == b"There is no such page."


def test_only_reading_is_possible(server: WatchServer):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = ask(server, "/state", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
        assert answer.headers["Content-Security-Policy"] == SECURITY["Content-Security-Policy"]
    head = ask(server, "/watch.css", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0


def test_the_state_is_strict_json_of_the_run(server: WatchServer):
    answer = ask(server, "/state")
    assert answer.headers["Content-Type"] == "application/json"

    def refuse(text: str) -> None:
        raise AssertionError(text)

    state = json.loads(answer.body, parse_constant=refuse)
    assert (state["run"]["name"], state["run"]["command"]) == ("small", "run")
    assert [game["game"] for game in state["games"]] == ["breakout", "pong"]
    assert state["learners"][0]["updates"] == 120
    assert state["problems"] == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000", "127.8.8.8"])
def test_names_of_this_machine_are_welcome(server: WatchServer, host: str):
    assert ask(server, "/", Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]"])
def test_a_foreign_name_for_this_machine_is_refused(server: WatchServer, host: str):
    for path in ("/", "/state", "/live"):
        answer = ask(server, path, Host=host)
        assert (answer.status, answer.body) == (421, b"This server answers to localhost only.")
    assert not server.playing
    assert send(server, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 421")


def test_other_sites_cannot_start_the_games(server: WatchServer):
    for site in ("cross-site", "same-site"):
        assert ask(server, "/live", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert ask(server, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200, "a link may lead here"
    assert not server.playing


def test_a_token_is_asked_for_everywhere(guarded: WatchServer):
    for path in ("/", "/state", "/live", "/nothing"):
        for headers in ({}, {"Authorization": basic("wrong")}, {"Authorization": "Basic !"}, {"Authorization": TOKEN}):
            answer = ask(guarded, path, **headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="distill watch"'
    assert not guarded.playing
    for authorization in (basic(TOKEN), f"Bearer {TOKEN}"):
        assert ask(guarded, "/state", Authorization=authorization).status == 200
        with frames(guarded, Authorization=authorization) as stream:
            assert next(stream)["game"]


def test_a_token_never_reaches_a_log(guarded: WatchServer, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        ask(guarded, "/state", Authorization=basic(TOKEN))
        ask(guarded, "/state", Authorization=basic(TOKEN + "!"))
    assert '"GET /state HTTP/1.1" 200' in caplog.text
    assert TOKEN not in caplog.text
    assert basic(TOKEN)[6:26] not in caplog.text


def test_another_address_than_this_machine_needs_a_token(small_run: Path):
    with pytest.raises(ConfigError, match="a token is required"):
        WatchServer(small_run, "0.0.0.0")
    with pytest.raises(ConfigError, match="at least 16 characters, found 5"):
        WatchServer(small_run, token="short")
    with WatchServer(small_run, "0.0.0.0", token=TOKEN) as server:
        assert ask(server, "/state", Host="a.machine.example").status == 401
        assert ask(server, "/state", Host="a.machine.example", Authorization=basic(TOKEN)).status == 200


def test_wrong_places_say_what_is_wrong(small_run: Path, server: WatchServer):
    with pytest.raises(RunError, match="expected a run's folder"):
        WatchServer(small_run.parent)
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(RunError, match=f"watch: expected to listen on 127.0.0.1, port {port}, found: Address already"):
        WatchServer(small_run, port=port)


def test_it_listens_on_ipv6_too(small_run: Path):
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("without IPv6")
    with WatchServer(small_run, "::1") as server:
        assert server.address.startswith("http://[::1]:")
        assert ask(server, "/").status == 200


def test_frames_come_while_somebody_watches_and_only_then(server: WatchServer):
    assert not server.playing
    with frames(server) as stream:
        seen = [next(stream) for _ in range(6)]
        assert server.playing
    until(lambda: not server.playing, "the games stop")
    assert {frame["game"] for frame in seen} == {"breakout", "pong"}
    for frame in seen:
        for seat in frame["seats"].values():
            picture = imageio.imread(io.BytesIO(base64.b64decode(seat["picture"])))
            assert picture.shape == (210, 160, 3)
        assert frame["seats"]["student"]["version"] == 2
        assert sum(frame["views"]["teacher"]["probabilities"]) == pytest.approx(1.0, abs=1e-3)
    breakout = [frame["seats"]["teacher"] for frame in seen if frame["game"] == "breakout"]
    assert breakout[0]["picture"] != breakout[-1]["picture"]


def test_viewers_see_the_same_play_and_their_number_is_bounded(server: WatchServer):
    streams = [frames(server) for _ in range(MOST_STREAMS)]
    opened = [stream.__enter__() for stream in streams]
    try:
        assert all(next(stream)["seats"] for stream in opened)
        answer = ask(server, "/live")
        assert (answer.status, answer.body) == (503, f"{MOST_STREAMS} clients watch already.".encode())
        assert ask(server, "/state").status == 200
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    until(lambda: ask(server, "/live", "HEAD").status == 200 and not server.playing, "the places are free")
    with frames(server) as stream:
        next(stream)


def test_connections_are_bounded_and_the_oldest_gives_way(server: WatchServer):
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(frames(server))
        held = [stack.enter_context(connect(server)) for _ in range(MOST_CONNECTIONS + 3)]
        for client in held[:4]:
            assert client.recv(1) == b"", "it gave way"
        for client in held[4:]:
            client.settimeout(0.0)
            with pytest.raises(BlockingIOError):
                client.recv(1)
        for _ in range(MOST_CONNECTIONS):
            assert ask(server, "/state").status == 200, "silent clients hold up nobody"
        assert next(stream)["game"], "a stream gives way to nobody"


def test_where_all_connections_are_streams_one_more_is_dropped(server: WatchServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", MOST_STREAMS)
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            next(stack.enter_context(frames(server)))
        with connect(server) as client:
            # A silent one would be hung up on later in any case.
            client.settimeout(HEAD_SECONDS / 2)
            assert client.recv(1) == b""


@pytest.mark.parametrize(
    "head",
    [b"", b"GET / HTTP/1.0\r\nHost: loc", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ids=["silent", "unfinished", "idle"],
)
def test_a_client_that_says_nothing_more_is_hung_up_on(
    server: WatchServer, head: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    answer = send(server, head)
    assert answer.startswith(b"HTTP/1.1 200") if head.endswith(b"\r\n\r\n") else answer == b""


def test_a_head_that_trickles_is_hung_up_on(server: WatchServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)

    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        client.settimeout(0.05)
        with pytest.raises((ConnectionError, AssertionError)):
            while True:
                client.sendall(b"X: y\r\n")
                with contextlib.suppress(TimeoutError):
                    assert client.recv(1)


def test_a_body_is_not_waited_for(server: WatchServer):
    head = b"GET /watch.css HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    began = time.monotonic()
    assert send(server, head + b"some").startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < HEAD_SECONDS


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param([b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"], id="stream"),
        pytest.param([b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 200, id="answers"),
    ],
)
def test_a_client_that_takes_nothing_is_dropped(
    small_run: Path, requests: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(web_server, "SEND_BYTES", 4096)
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.2)
    with caplog.at_level(logging.DEBUG), WatchServer(small_run) as server, contextlib.ExitStack() as stack:
        taking = stack.enter_context(frames(server))
        for _ in range(MOST_STREAMS - 1):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(connect(server).getpeername())
            client.sendall(b"".join(requests))
        text = f"it did not take its answer within 0.2 s ({MOST_STREAMS - 1} so far)"
        until(lambda: text in caplog.text, "they are dropped")
        assert next(taking)["game"]
        for _ in range(MOST_STREAMS - 1):
            assert next(stack.enter_context(frames(server)))["game"], "their places are free"


def test_a_slow_client_loses_its_place_among_the_streams_to_a_new_one(small_run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web_server, "SEND_BYTES", 4096)
    # Far more than a busy machine takes for the places below.
    monkeypatch.setattr(connections, "SEND_SECONDS", 100.0)
    with WatchServer(small_run) as server, contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(connect(server).getpeername())
            client.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: server.playing, "they watch")
        began = time.monotonic()

        def another_watches() -> bool:
            stream = frames(server)
            try:
                opened = stream.__enter__()
            except AssertionError:
                return False
            stack.push(stream)
            return bool(next(opened)["game"])

        for _ in range(MOST_STREAMS):
            until(another_watches, "a place is free")
        assert time.monotonic() - began < connections.SEND_SECONDS, "nobody waits until a slow one is hung up on"


def test_data_that_takes_long_to_read_holds_up_nobody(small_run: Path, tmp_path: Path):
    ignored = shutil.ignore_patterns("redis", "videos", "checkpoints", METRICS)
    run = Path(shutil.copytree(small_run, tmp_path / "run", ignore=ignored))
    # Reading it waits for somebody who writes.
    os.mkfifo(run / METRICS)
    with WatchServer(run) as server, ThreadPoolExecutor() as threads, contextlib.ExitStack() as silent:
        waiting = threads.submit(ask, server, "/state")
        with frames(server) as stream:
            assert next(stream)["game"]
            assert ask(server, "/watch.css").status == 200
            # Nor does it lose its connection to those who say nothing.
            for _ in range(MOST_CONNECTIONS + 3):
                silent.enter_context(connect(server))
            assert ask(server, "/watch.css").status == 200
        still_waits = not waiting.done()
        with (run / METRICS).open("wb"):
            answer = waiting.result()
    assert still_waits
    assert answer.status == 200


def test_heads_have_a_size(server: WatchServer):
    # Not more than the server reads at a time, or its kernel resets the connection before the answer is seen.
    too_long = 65_536
    many = b"".join(b"X-%d: y\r\n" % i for i in range(200))
    for head in (
        b"GET /".ljust(too_long, b"x"), b"GET / HTTP/1.0\r\nHost: ".ljust(too_long, b"x"), b"GET / HTTP/1.0\r\n" + many
    ):  # fmt: skip
        assert send(server, head + b"\r\n\r\n").startswith(b"HTTP/1.0 400")


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer SECRET\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer SECRET".ljust(10_000, b"T") + b"\r\n\r\n",
        b"GET /SECRET /SECRET HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_not_repeated(
    server: WatchServer, head: bytes, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        answer = send(server, head)
    status, _, rest = answer.partition(b"\r\n")
    assert status.endswith(b" 400 Bad Request")
    for name, value in SECURITY.items():
        assert f"{name}: {value}\r\n".encode() in rest
    assert b"SECRET" not in answer
    assert "SECRET" not in caplog.text
    assert "Traceback" not in caplog.text


@given(host=st.binary(max_size=30), authorization=st.sampled_from(["", "Basic ", "Bearer "]), secret=st.binary())
def test_headers_of_any_bytes_are_refused_in_order(host: bytes, authorization: str, secret: bytes):
    # As aiohttp decodes them.
    secret_text = secret.decode("utf-8", "surrogateescape")
    for name in ("localhost", host.decode("utf-8", "surrogateescape")):
        with pytest.raises((web.HTTPMisdirectedRequest, web.HTTPUnauthorized)):
            Access("127.0.0.1", TOKEN).check({"Host": name, "Authorization": authorization + secret_text})


def test_the_end_of_the_server_ends_its_streams_and_waits_for_nobody(small_run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web_server, "SEND_BYTES", 4096)
    with contextlib.ExitStack() as stack:
        with WatchServer(small_run) as server:
            stream = stack.enter_context(frames(server))
            silent = stack.enter_context(connect(server))
            slow = stack.enter_context(connect(server))
            slow.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
            next(stream)
            began = time.monotonic()
        assert time.monotonic() - began < 2 * STOP_SECONDS + 5.0
        assert list(stream) is not None, "the stream ends instead of waiting for ever"
        assert silent.recv(1) == b""
    assert not server.playing


def test_the_run_is_only_read(small_run: Path):
    def files() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in small_run.rglob("*")}

    before = files()
    with WatchServer(small_run) as server, frames(server) as stream:
        ask(server, "/state")
        for _ in range(4):
            next(stream)
    assert files() == before
