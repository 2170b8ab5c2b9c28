"""One run's streams on several servers: spread evenly, read whole, and one that dies holds up nobody else."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster import cli
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import game_stats, list_runs
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from distill.config import BufferConfig
from distill.errors import BufferUnavailable, ConfigError
from tests.support.chunk_streams import ids, make_chunk, read_all
from tests.support.sandbox import TINY

GAMES = ("pong", "breakout", "freeway")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[PrivateRedis]]:
    with ExitStack() as stack:
        yield [stack.enter_context(PrivateRedis(tmp_path / f"redis-{number}")) for number in range(3)]


def address_of(servers: list[PrivateRedis], games: tuple[str, ...] = GAMES, shards: int = 1) -> BufferAddress:
    return BufferAddress(",".join(server.url for server in servers), "run", games, Limits(9_000, 9_000, shards=shards))


def kill(server: PrivateRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.pid is not None:
        pass


def test_games_of_one_shard_are_each_on_a_server_of_their_own(servers: list[PrivateRedis]) -> None:
    address = address_of(servers)
    assert [address.shards_by_server(game) for game in GAMES] == [{0: [0]}, {1: [0]}, {2: [0]}]
    for game in GAMES:
        address.writer(game).write(make_chunk(0, game=game))
    for server in servers:
        with connect(server.url) as client:
            assert [(usage.run, usage.chunks) for usage in list_runs(client)] == [("run", 1)]
    reader = address.reader()
    assert [ids(read_all(reader, game)) for game in GAMES] == [[("producer-a", 0)]] * 3


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_processes_that_read_for_one_rank_have_each_other_streams_and_one_cursor_in_each(
    servers: list[PrivateRedis], parts: int
) -> None:
    address = BufferAddress(",".join(server.url for server in servers), "run", ("pong",), Limits(24, 9_000, shards=6))
    for index in range(6):
        for sequence in range(2):
            address.writer("pong", index).write(make_chunk(sequence, producer_id=f"producer-{index}"))
    readers = [address.reader(part=part, parts=parts) for part in range(parts)]
    read = [ids(read_all(reader)) for reader in readers]
    assert sorted(chunk for chunks in read for chunk in chunks) == [
        (f"producer-{i}", s) for i in range(6) for s in (0, 1)
    ]
    assert {len(chunks) for chunks in read} == {12 // parts}

    readers[0].commit()
    for index in range(6):
        address.writer("pong", index).write(make_chunk(2, producer_id=f"producer-{index}"))
    mine = {producer for producer, _ in read[0]}
    # A stream keeps one chunk, and those that are unread.
    left = ids(read_all(address.reader()))
    assert {producer: sum(name == producer for name, _ in left) for producer, _ in left} == {
        f"producer-{index}": 1 if f"producer-{index}" in mine else 3 for index in range(6)
    }


def test_a_part_without_a_stream_is_refused(servers: list[PrivateRedis]) -> None:
    with pytest.raises(ConfigError, match="expected at most 1 for each rank, one a shard, found 2"):
        address_of(servers).reader(part=1, parts=2)


def test_producers_take_a_games_shards_in_turn(servers: list[PrivateRedis]) -> None:
    address = address_of(servers, ("pong",), shards=6)
    assert address.shards_by_server("pong") == {0: [0, 3], 1: [1, 4], 2: [2, 5]}
    writers = {f"producer-{index}": address.writer("pong", index) for index in range(12)}
    for sequence in range(4):
        for producer_id, writer in writers.items():
            writer.write(make_chunk(sequence, producer_id=producer_id))
    reader = address.reader()
    found = ids(read_all(reader))
    assert sorted(found) == sorted((producer_id, sequence) for producer_id in writers for sequence in range(4))
    for producer_id in writers:
        assert [sequence for owner, sequence in found if owner == producer_id] == [0, 1, 2, 3]
    reader.commit()
    for number, shards in address.shards_by_server("pong").items():
        with connect(servers[number].url) as client:
            stats = [game_stats(client, "run", "pong", shards=[shard]) for shard in shards]
            assert [(one.chunks, one.unread) for one in stats] == [(8, 0), (8, 0)]


def test_a_dead_server_holds_up_neither_reader_nor_writers_of_the_others(servers: list[PrivateRedis]) -> None:
    address = address_of(servers[:2], ("pong",), shards=2)
    writers, reader = [address.writer("pong", index) for index in range(2)], address.reader()
    for index, writer in enumerate(writers):
        writer.write(make_chunk(0, producer_id=f"producer-{index}"))
    assert len(read_all(reader)) == 2
    kill(servers[1])
    for index, writer in enumerate(writers):
        writer.write(make_chunk(1, producer_id=f"producer-{index}"))
    assert ids(reader.read("pong", 8)) == [("producer-0", 1)]
    with pytest.raises(BufferUnavailable, match="cannot read chunks"):
        reader.read("pong", 8)
    with pytest.raises(BufferUnavailable, match="cannot store how far"):
        reader.commit()
    with connect(servers[0].url) as client:
        assert game_stats(client, "run", "pong").unread == 0
    assert [writer.flush(0.1) for writer in writers] == [0, 1]
    servers[1].start()
    assert writers[1].flush(10.0) == 0
    # The server is another one, so its stream is read again from its beginning.
    assert ("producer-1", 1) in ids(read_all(reader))
    assert [(writer.counters.chunks, writer.counters.lost) for writer in writers] == [(2, 0), (2, 0)]


def test_more_servers_than_streams_are_refused(servers: list[PrivateRedis]) -> None:
    with pytest.raises(ConfigError, match="found 3 servers for 2 streams, 1 of each game; name fewer"):
        address_of(servers, GAMES[:2])


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ("redis://a:1,redis://a:1", "each server once, found redis://a:1,redis://a:1"),
        ("redis://a:1,b:2", "or several of them separated by commas, found 'b:2'"),
        ("redis://a:1,", "found ''"),
        ("redis://a:1,redis://me:secret@b:2", "without a password, found one with it"),
    ],
)
def test_bad_lists_of_servers_are_refused(urls: str, message: str) -> None:
    with pytest.raises(ConfigError, match="buffer: ") as error:
        BufferConfig(buffer=urls)
    assert message in str(error.value) and "secret" not in str(error.value)


def test_a_run_uses_all_its_servers_and_is_deleted_from_them(
    servers: list[PrivateRedis], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ",".join(server.url for server in servers)
    run = ["run", *TINY, "--root", str(tmp_path), "--name", "spread", "--serial", "--updates", "40", "--buffer"]
    assert cli.run([*run, urls]) == 2
    assert "found 3 servers for 2 streams" in capsys.readouterr().err
    assert list(tmp_path.glob("spread")) == []
    assert cli.run([*run, urls.rpartition(",")[0]]) == 0
    for server in servers[:2]:
        with connect(server.url) as client:
            (usage,) = list_runs(client)
            assert usage.run == "spread" and usage.chunks > 0
    capsys.readouterr()
    assert cli.run(["runs", "--root", str(tmp_path), "--buffer", urls]) == 0
    assert "spread" in capsys.readouterr().out
    kill(servers[1])
    assert cli.run(["runs", "--root", str(tmp_path), "--delete", "spread"]) == 2
    assert "nothing is deleted" in capsys.readouterr().err
    servers[1].start()
    assert cli.run(["runs", "--root", str(tmp_path), "--delete", "spread"]) == 0
    for server in servers:
        with connect(server.url) as client:
            assert list_runs(client) == []
