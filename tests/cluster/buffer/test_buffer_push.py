"""Push, read, commit and trim on a living server, on both binaries."""

import pickle
from collections.abc import Iterator

import pytest
import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Answer, EncodedChunk, Limits, Pusher
from cluster.buffer.stats import game_stats
from cluster.redis.connection import connect
from cluster.redis.keys import stream_keys
from cluster.redis.private_server import PrivateRedis
from distill.chunks import ChunkDecoder
from distill.errors import BufferUnavailable, ChunkError, ConfigError
from distill.protocols import ChunkReader, ChunkWriter
from tests.support.chunk_streams import ids, make_chunk, read_all


def make_address(
    server: PrivateRedis, run: str, capacity: int = 10_000, backlog: int = 10_000, **more: int
) -> BufferAddress:
    return BufferAddress(server.url, run, ("pong", "breakout"), Limits(capacity, backlog, **more))


@pytest.fixture
def client(redis_server: PrivateRedis) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as connection:
        yield connection


def piece(sequence: int, steps: int = 10, producer_id: str = "a") -> EncodedChunk:
    return EncodedChunk(producer_id, sequence, steps, b"%d" % sequence)


def test_what_is_written_is_read(redis_server: PrivateRedis, run_name: str) -> None:
    address = pickle.loads(pickle.dumps(make_address(redis_server, run_name)))
    writer: ChunkWriter = address.writer("pong")
    reader: ChunkReader = address.reader()
    sent = [make_chunk(sequence, steps=3 + sequence) for sequence in range(5)]
    for chunk in sent:
        writer.write(chunk)
    assert writer.flush(5.0) == 0
    stored = reader.read("pong", 3) + reader.read("pong", 3)
    assert [chunk.steps for chunk in stored] == [3, 4, 5, 6, 7]
    assert [chunk.end for chunk in stored] == [3, 7, 12, 18, 25]
    for before, after in zip(sent, stored, strict=True):
        decoded = ChunkDecoder({"pong": 6}).decode(after.data)
        assert decoded.header == before.header
        assert (decoded.frames == before.frames).all()
    assert reader.read("pong", 3) == []
    assert reader.read("breakout", 3) == []
    assert (writer.counters.chunks, writer.counters.transitions) == (5, 25)
    assert writer.counters.bytes == sum(len(chunk.data) for chunk in stored)
    writer.close()
    reader.close()


def test_a_chunk_written_twice_is_stored_and_counted_once(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name)
    writer = address.writer("pong")
    for sequence in (0, 1, 1, 0, 2):
        writer.write(make_chunk(sequence))
    assert ids(read_all(address.reader())) == [("producer-a", 0), ("producer-a", 1), ("producer-a", 2)]
    assert writer.counters.chunks == 3
    assert writer.flush(1.0) == 0


def test_answers(client: redis.Redis, run_name: str) -> None:
    pusher = Pusher(client, run_name, "pong", Limits(1_000, 25))
    assert pusher.push([piece(0), piece(0), piece(2), piece(1), piece(2)], {}) == [
        Answer("ok", 0),
        Answer("duplicate", 0),
        Answer("gap", 0),
        Answer("ok", 0),
        Answer("full", 20),
    ]
    assert pusher.push([piece(7, 5)], {"a": 0}) == [Answer("gap", 1)]
    assert pusher.push([piece(7, 5)], {"a": 1}) == [Answer("ok", 5)]
    assert pusher.last_sequences(["a", "b"]) == [7, -1]


def test_a_chunk_longer_than_the_backlog_fits_once_all_is_read(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name, backlog=5)
    pusher = Pusher(connect(redis_server.url), run_name, "pong", address.limits)
    assert pusher.push([piece(0, 50), piece(1, 50)], {}) == [Answer("ok", 0), Answer("full", 50)]
    reader = address.reader()
    read_all(reader)
    reader.commit()
    assert pusher.push([piece(1, 50)], {}) == [Answer("ok", 0)]


def test_only_what_all_readers_have_read_is_trimmed(
    redis_server: PrivateRedis, client: redis.Redis, run_name: str
) -> None:
    address = make_address(redis_server, run_name, capacity=30, backlog=100, readers=2)
    pusher = Pusher(client, run_name, "pong", address.limits)
    first, second = address.reader(0), address.reader(1)
    pusher.push([piece(sequence) for sequence in range(8)], {})
    read_all(first)
    first.commit()
    pusher.push([piece(8)], {})
    assert len(read_all(address.reader())) == 9, "the second reader has read nothing yet"
    second.read("pong", 4)
    second.commit()
    pusher.push([piece(9)], {})
    assert [chunk.sequence for chunk in read_all(address.reader())] == [4, 5, 6, 7, 8, 9]
    read_all(second)
    second.commit()
    read_all(first)
    first.commit()
    pusher.push([piece(10)], {})
    stats = game_stats(client, run_name, "pong", readers=2)
    assert (stats.transitions, stats.chunks, stats.unread, stats.trimmed_chunks) == (30, 3, 10, 8)
    assert (stats.pushed_transitions, stats.pushed_chunks) == (110, 11)
    assert stats.bytes > 0


def test_a_full_writer_holds_its_backlog_and_refuses_beyond_it(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name, backlog=80)
    writer, reader = address.writer("pong"), address.reader()
    for sequence in range(20 + 64):
        assert writer.wait(0.0)
        writer.write(make_chunk(sequence, steps=4))
    assert not writer.wait(0.3)
    assert writer.counters.full > 0
    assert writer.counters.wait_seconds > 0.25
    with pytest.raises(
        BufferUnavailable, match=r"64 chunks of pong are waiting.*wait\(\).*80 transitions of pong are unread"
    ):
        writer.write(make_chunk(84))
    seen = []
    while writer.flush(0.3):
        seen += ids(read_all(reader))
        reader.commit()
    seen += ids(read_all(reader))
    assert seen == [("producer-a", sequence) for sequence in range(84)]
    assert writer.counters.chunks == 84


def test_shards_are_read_in_turn(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name, shards=3)
    writers = [address.writer("pong", index) for index in range(6)]
    expected: dict[str, list[int]] = {}
    for sequence in range(6):
        for producer_id, writer in zip("abcdef", writers, strict=True):
            writer.write(make_chunk(sequence, producer_id=producer_id, steps=1))
            expected.setdefault(producer_id, []).append(sequence)
    reader = address.reader()
    shards = {"abcdef".index(reader.read("pong", 1)[0].producer_id) % 3 for _ in range(3)}
    assert shards == {0, 1, 2}, "one shard after the other"
    reader.rewind()
    seen: dict[str, list[int]] = {}
    for _ in range(100):
        found = reader.read("pong", 2)
        assert len(found) <= 2
        for chunk in found:
            seen.setdefault(chunk.producer_id, []).append(chunk.sequence)
    assert seen == expected
    stats = game_stats(connect(redis_server.url), run_name, "pong", shards=range(3))
    assert (stats.transitions, stats.chunks, stats.unread) == (36, 36, 36)
    reader.commit()
    assert game_stats(connect(redis_server.url), run_name, "pong", shards=range(3)).unread == 0


def test_rewind_reads_again_and_does_not_move_the_cursor_back(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name)
    pusher = Pusher(connect(redis_server.url), run_name, "pong", address.limits)
    pusher.push([piece(sequence) for sequence in range(5)], {})
    reader = address.reader()
    read_all(reader)
    reader.commit()
    reader.rewind()
    assert [chunk.sequence for chunk in reader.read("pong", 2)] == [0, 1]
    reader.commit()
    assert game_stats(connect(redis_server.url), run_name, "pong").unread == 0


def test_forgotten_scripts_are_an_outage_until_the_learner_reads(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name)
    writer, reader = address.writer("pong"), address.reader()
    writer.write(make_chunk(0))
    connect(redis_server.url).script_flush()
    writer.write(make_chunk(1))
    assert (writer.counters.chunks, writer.counters.outages) == (1, 1)
    assert "the learner loads them" in (writer.trouble or "")
    assert len(reader.read("pong", 10)) == 1
    assert writer.flush(10.0) == 0
    assert (writer.counters.chunks, writer.counters.outages) == (2, 1)
    assert [chunk.sequence for chunk in reader.read("pong", 10)] == [1]


def test_foreign_entries_come_with_empty_data(redis_server: PrivateRedis, client: redis.Redis, run_name: str) -> None:
    address = make_address(redis_server, run_name)
    stream = stream_keys(run_name, "pong", 0).chunks
    client.hset(stream_keys(run_name, "pong", 0).meta, mapping={"pushed_transitions": 8, "epoch": "e"})
    client.xadd(stream, {"nonsense": "1"}, id="5-5")
    client.xadd(stream, {"producer_id": b"\xff", "sequence": "1", "data": "x"}, id="6-1")
    client.xadd(stream, {"producer_id": "a", "sequence": "one", "data": "x"}, id="8-2")
    chunks = address.reader().read("pong", 10)
    assert [(chunk.end, chunk.data) for chunk in chunks] == [(5, b""), (6, b""), (8, b"")]
    assert all("has other fields than those of a chunk" in chunk.foreign for chunk in chunks)


def test_an_error_of_the_server_is_an_outage_with_its_reason(
    client: redis.Redis, redis_server: PrivateRedis, run_name: str
) -> None:
    client.set(stream_keys(run_name, "pong", 0).chunks, "not a stream")
    writer = make_address(redis_server, run_name).writer("pong")
    writer.write(make_chunk(0))
    assert writer.flush(0.1) == 1
    assert writer.counters.outages > 0
    assert "WRONGTYPE" in (writer.trouble or "")


def test_wrong_games_and_ranks_are_refused(redis_server: PrivateRedis, run_name: str) -> None:
    address = make_address(redis_server, run_name)
    with pytest.raises(ConfigError, match="'tennis'"):
        address.writer("tennis")
    with pytest.raises(ConfigError, match="'tennis'"):
        address.reader().read("tennis", 1)
    with pytest.raises(ConfigError, match="expected 0 to 0, found 1"):
        address.reader(1)
    with pytest.raises(ChunkError, match="writer of pong"):
        address.writer("pong").write(make_chunk(0, game="breakout"))


def test_at_maxmemory_unread_chunks_stay_and_read_ones_make_room(redis_binary: str, tmp_path, run_name: str) -> None:
    with PrivateRedis(tmp_path / "redis", binary=redis_binary, maxmemory=6 * 2**20) as server:
        address = make_address(server, run_name, capacity=10**9, backlog=10**9)
        writer, reader = address.writer("pong"), address.reader()
        sequence = 0
        while not writer.counters.full:
            writer.write(make_chunk(sequence, steps=8))
            sequence += 1
        assert sequence > 20
        accepted = writer.counters.chunks
        assert writer.flush(0.2) == sequence - accepted > 0
        assert ids(read_all(reader)) == [("producer-a", number) for number in range(accepted)]
        reader.commit()
        assert writer.flush(5.0) == 0
        for number in range(sequence, sequence + 100):
            writer.write(make_chunk(number, steps=8))
            assert writer.flush(5.0) == 0
            assert ids(read_all(reader))[-1] == ("producer-a", number)
            reader.commit()
        stats = game_stats(connect(server.url), run_name, "pong")
        assert stats.pushed_chunks == sequence + 100
        assert stats.trimmed_chunks + stats.chunks == stats.pushed_chunks
        assert stats.chunks > accepted // 2, "no more than needed is dropped"
        assert writer.counters.outages == 0
