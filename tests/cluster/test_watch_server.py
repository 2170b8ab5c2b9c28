"""The live page's server, over real connections: what it serves, to whom, and its limits."""

import base64
import io
import json
import logging
import re
import socket
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import imageio.v2 as imageio
import pytest
from run_support import until
from watch_support import ask, connect, frames, send

from cluster.watch import server as watch_server
from cluster.watch.server import MOST_CONNECTIONS, MOST_STREAMS, PAGES, SECURITY, WatchServer
from distill.errors import ConfigError, RunError

TOKEN = "correct horse battery"


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
    assert {name for name, _ in PAGES.values()} == {name for name in files if not name.endswith(".py")}


def test_the_page_is_served_with_strict_rules_for_browsers(server: WatchServer):
    for path, (name, kind) in PAGES.items():
        answer = ask(server, path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.body == resources.files("cluster.watch").joinpath("page", name).read_bytes()
        assert {key: answer.headers[key] for key in SECURITY} == SECURITY
    policy = SECURITY["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_names_no_other_place_and_has_no_inline_script():
    for name, _ in PAGES.values():
        text = resources.files("cluster.watch").joinpath("page", name).read_text()
        assert not re.search(r"\w+://|url\(|@import|\beval\b|innerHTML", text.replace("http://www.w3.org/2000/svg", ""))
    page = resources.files("cluster.watch").joinpath("page", "index.html").read_text()
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
        assert answer.status == 501
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
    with pytest.raises(ConfigError, match="cannot listen there"):
        WatchServer(small_run, port=port)


def test_it_listens_on_ipv6_too(small_run: Path):
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
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
        assert (answer.status, answer.body) == (503, b"4 clients watch already.")
        assert ask(server, "/state").status == 200
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    until(lambda: ask(server, "/live", "HEAD").status == 200 and not server.playing, "the places are free")
    with frames(server) as stream:
        next(stream)


def test_connections_are_bounded(server: WatchServer):
    held = [connect(server) for _ in range(MOST_CONNECTIONS)]
    try:
        assert send(server, b"") == b"", "one too many is dropped"
    finally:
        for client in held:
            client.close()
    until(lambda: send(server, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.0 200"), "room again")


def test_a_head_that_trickles_is_hung_up_on(server: WatchServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watch_server, "HEAD_SECONDS", 0.2)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: loc")
        assert client.recv(100) == b""


def test_heads_have_a_size(server: WatchServer):
    # Not a byte more than the server reads, or its kernel resets the connection before the answer is seen.
    too_long = 65_537
    assert send(server, b"GET /".ljust(too_long, b"x")).startswith(b"HTTP/1.0 414")
    assert send(server, b"GET / HTTP/1.0\r\n" + b"Host: ".ljust(too_long, b"x")).startswith(b"HTTP/1.0 431")
    many = b"".join(b"X-%d: y\r\n" % i for i in range(200))
    assert send(server, b"GET / HTTP/1.0\r\n" + many + b"\r\n").startswith(b"HTTP/1.0 431")


def test_the_end_of_the_server_ends_its_streams(small_run: Path):
    with WatchServer(small_run) as server:
        watching = frames(server)
        stream = watching.__enter__()
        next(stream)
    assert list(stream) is not None, "the stream ends instead of waiting for ever"
    watching.__exit__(None, None, None)
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
