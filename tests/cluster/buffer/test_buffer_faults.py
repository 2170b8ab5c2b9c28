"""What is promised when the server is killed, frozen, or loses what it had acknowledged."""

import os
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import game_stats
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable
from distill.protocols import StoredChunk
from tests.support.chunk_streams import ids, is_running, make_chunk, read_all, until


def make_address(server: PrivateRedis) -> BufferAddress:
    return BufferAddress(server.url, "run", ("pong",), Limits(100_000, 100_000))


def kill(server: PrivateRedis) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid is None, "the killed server ends")


def save_data(directory: Path, to: Path) -> None:
    shutil.copytree(directory, to, ignore=shutil.ignore_patterns("server.*", "redis.log"))


def restore_data(directory: Path, saved: Path | None) -> None:
    """Put back what the server had written at some time before; None for nothing at all."""
    shutil.rmtree(directory / "appendonlydir", ignore_errors=True)
    (directory / "appendonly.aof").unlink(missing_ok=True)
    if saved is not None:
        shutil.copytree(saved, directory, dirs_exist_ok=True)


def append_only_file(directory: Path) -> Path:
    (found,) = [*directory.glob("appendonly.aof"), *directory.glob("appendonlydir/*.incr.aof")]
    return found


class Consumer:
    """Takes each (producer_id, sequence) once, as the learner's feed does."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.taken: list[tuple[str, int]] = []

    def take(self, chunks: Iterable[StoredChunk]) -> None:
        for chunk in chunks:
            if chunk.sequence > self.last.get(chunk.producer_id, -1):
                self.last[chunk.producer_id] = chunk.sequence
                self.taken.append((chunk.producer_id, chunk.sequence))


@pytest.mark.parametrize("loss", ["tail", "everything", "truncated"])
def test_what_a_killed_server_lost_is_pushed_again(own_redis: PrivateRedis, tmp_path: Path, loss: str) -> None:
    directory = tmp_path / "redis"
    address = make_address(own_redis)
    writer, other, reader, consumer = address.writer("pong"), address.writer("pong"), address.reader(), Consumer()
    for sequence in range(5):
        writer.write(make_chunk(sequence))
        other.write(make_chunk(sequence, producer_id="producer-b"))
    save_data(directory, tmp_path / "saved")
    for sequence in range(5, 10):
        writer.write(make_chunk(sequence))
        other.write(make_chunk(sequence, producer_id="producer-b"))
    consumer.take(read_all(reader))
    reader.commit()
    kill(own_redis)
    if loss == "truncated":
        file = append_only_file(directory)
        os.truncate(file, file.stat().st_size * 7 // 10)
    else:
        restore_data(directory, tmp_path / "saved" if loss == "tail" else None)
    own_redis.start()

    # The offsets that were read now stand for other chunks, which this commit must not pass off as read.
    other.write(make_chunk(10, producer_id="producer-b"))
    reader.commit()
    assert game_stats(connect(own_redis.url), "run", "pong").unread > 0
    # One writer notices when it writes again, the other, which has nothing new, when it flushes.
    writer.write(make_chunk(10))
    assert writer.flush(10.0) == other.flush(10.0) == 0
    consumer.take(read_all(reader))
    reader.commit()
    stored = read_all(address.reader())
    for producer_id in ("producer-a", "producer-b"):
        expected = [(producer_id, sequence) for sequence in range(11)]
        assert [found for found in ids(stored) if found[0] == producer_id] == expected
        assert [found for found in consumer.taken if found[0] == producer_id] == expected
    assert writer.counters.chunks == other.counters.chunks == 11
    assert writer.counters.lost == other.counters.lost == 0
    assert writer.counters.repushed > 0
    assert game_stats(connect(own_redis.url), "run", "pong").unread == 0


@pytest.mark.parametrize("torn_bytes", [3, 20, 150])
def test_a_torn_end_does_not_swallow_later_writes(own_redis: PrivateRedis, tmp_path: Path, torn_bytes: int) -> None:
    """The file ends within a transaction; what follows must be there after the next kill, too."""
    writer = make_address(own_redis).writer("pong")
    for round_ in range(3):
        for sequence in range(5 * round_, 5 * round_ + 5):
            writer.write(make_chunk(sequence))
            assert writer.flush(10.0) == 0
        # While the file is being synced, Redis keeps what it has acknowledged in memory for up to two seconds.
        with connect(own_redis.url) as client:
            until(lambda: client.info("persistence")["aof_buffer_length"] == 0, "all is in the file")
        kill(own_redis)
        file = append_only_file(tmp_path / "redis")
        os.truncate(file, file.stat().st_size - torn_bytes)
        own_redis.start()
    assert writer.flush(10.0) == 0
    kill(own_redis)
    own_redis.start()
    stored = read_all(make_address(own_redis).reader())
    assert ids(stored) == [("producer-a", sequence) for sequence in range(15)]
    assert [chunk.end for chunk in stored] == [4 * (sequence + 1) for sequence in range(15)]
    assert b"nested" not in (tmp_path / "redis" / "redis.log").read_bytes()


def test_a_writer_without_news_repairs_a_loss_when_it_flushes(own_redis: PrivateRedis, tmp_path: Path) -> None:
    address = make_address(own_redis)
    writer = address.writer("pong")
    for sequence in range(4):
        writer.write(make_chunk(sequence))
    kill(own_redis)
    restore_data(tmp_path / "redis", None)
    own_redis.start()
    assert writer.flush(10.0) == 0
    assert ids(read_all(address.reader())) == [("producer-a", sequence) for sequence in range(4)]
    assert writer.counters.repushed == 4


def test_what_the_writer_does_not_hold_any_more_is_counted_as_lost(
    own_redis: PrivateRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.buffer.writer.REMEMBER_BYTES", 3 * 40_000)
    address = make_address(own_redis)
    writer = address.writer("pong")
    for sequence in range(6):
        writer.write(make_chunk(sequence, steps=2))
    kill(own_redis)
    restore_data(tmp_path / "redis", None)
    own_redis.start()
    writer.write(make_chunk(6, steps=2))
    assert writer.flush(10.0) == 0
    kept = ids(read_all(address.reader()))
    assert kept == [("producer-a", sequence) for sequence in range(7 - len(kept), 7)]
    assert 2 <= len(kept) <= 5
    assert writer.counters.lost == 7 - len(kept)


def test_while_the_server_is_away_the_writer_holds_on(own_redis: PrivateRedis) -> None:
    address = make_address(own_redis)
    writer, reader = address.writer("pong"), address.reader()
    writer.write(make_chunk(0))
    kill(own_redis)
    with pytest.raises(BufferUnavailable, match=f"{own_redis.url}.*cannot read chunks"):
        reader.read("pong", 1)
    started = time.monotonic()
    for sequence in range(1, 65):
        writer.write(make_chunk(sequence))
    assert not writer.wait(0.2)
    assert writer.flush(0.2) == 64
    assert time.monotonic() - started < 5.0
    assert writer.counters.outages > 0
    own_redis.start()
    assert writer.wait(10.0)
    assert writer.flush(10.0) == 0
    assert ids(read_all(reader)) == [("producer-a", sequence) for sequence in range(65)]
    assert writer.counters.chunks == 65


def test_a_frozen_server_delays_a_write_by_no_more_than_the_timeout(own_redis: PrivateRedis) -> None:
    address = make_address(own_redis)
    writer = address.writer("pong", timeout=0.3)
    writer.write(make_chunk(0))
    pid = own_redis.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        slowest = 0.0
        for sequence in range(1, 20):
            started = time.monotonic()
            writer.write(make_chunk(sequence))
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 1.5
        started = time.monotonic()
        assert writer.flush(0.5) == 19
        assert time.monotonic() - started < 2.0
    finally:
        os.kill(pid, signal.SIGCONT)
    assert is_running(pid)
    assert writer.flush(10.0) == 0
    assert ids(read_all(address.reader())) == [("producer-a", sequence) for sequence in range(20)]
    assert (writer.counters.chunks, writer.counters.repushed, writer.counters.lost) == (20, 0, 0)
