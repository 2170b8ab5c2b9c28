"""Whatever somebody else writes into a stream's keys is skipped and counted, and stops nobody for long."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.reader import RedisChunkReader
from cluster.buffer.stats import delete_run, game_stats
from cluster.buffer.writer import RedisChunkWriter
from cluster.redis.connection import connect
from cluster.redis.keys import StreamKeys, stream_keys
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable
from distill.protocols import StoredChunk
from tests.support.chunk_streams import ids, make_chunk, until

STEPS, BEFORE = 4, 5
LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
Poison = Callable[[redis.Redis, StreamKeys], object]
POISONS: dict[str, Poison] = {
    "time id": lambda client, keys: client.xadd(keys.chunks, {"a": "b"}),
    "two time ids": lambda client, keys: [client.xadd(keys.chunks, {"a": "b"}) for _ in range(2)],
    "last id": lambda client, keys: client.xadd(keys.chunks, {"a": "b"}, id=LAST_ID),
    "next id": lambda client, keys: client.xadd(keys.chunks, {"a": "b"}, id=f"{STEPS * BEFORE + 1}-1"),
    "same end": lambda client, keys: client.xadd(keys.chunks, {"a": "b"}, id=f"{STEPS * BEFORE}-999"),
    "long entry": lambda client, keys: client.xadd(
        keys.chunks, {"data": bytes(17 * 2**20), "producer_id": "x", "sequence": 0}
    ),
    "many fields": lambda client, keys: client.xadd(keys.chunks, {str(n): "x" for n in range(300_000)}),
    "removed again": lambda client, keys: client.xdel(keys.chunks, client.xadd(keys.chunks, {"a": "b"})),
    "copied fields": lambda client, keys: client.xadd(
        keys.chunks, next(iter(client.xrange(keys.chunks, count=1)), (b"", {"a": "b"}))[1]
    ),
    "trimmed": lambda client, keys: client.xtrim(keys.chunks, maxlen=0, approximate=False),
    **{
        f"{kind} is gone": lambda client, keys, kind=kind: client.delete(getattr(keys, kind))
        for kind in ("chunks", "meta", "producers", "cursors")
    },
    **{
        f"{kind} is a string": lambda client, keys, kind=kind: client.set(getattr(keys, kind), "x")
        for kind in ("chunks", "meta", "producers", "cursors")
    },
    **{
        f"{field} is {value[:24]}": lambda client, keys, field=field, value=value: client.hset(keys.meta, field, value)
        for field in ("pushed_transitions", "pushed_chunks", "trimmed_chunks")
        for value in ("x", "", "-1", "nan", "inf", "1e3", "0", "7", "1000000", "9" * 400)
    },
    "no epoch": lambda client, keys: client.hdel(keys.meta, "epoch"),
    "another epoch": lambda client, keys: client.hset(keys.meta, "epoch", "x" * 1000),
    **{
        f"cursor is {value}": lambda client, keys, value=value: client.hset(keys.cursors, "0", value)
        for value in ("x", "nan", "-3", "0", "1000000000", "9" * 30)
    },
    **{
        f"producer is {value}": lambda client, keys, value=value: client.hset(keys.producers, "producer-a", value)
        for value in ("x", "nan", "-3", "0", "1e2")
    },
}
SLOW = {"long entry", "many fields"}


class Pair:
    """A writer and the reader, with what it has taken."""

    def __init__(self, server: PrivateRedis, run: str) -> None:
        address = BufferAddress(server.url, run, ("pong",), Limits(40, 40))
        self.writer: RedisChunkWriter = address.writer("pong")
        self.reader: RedisChunkReader = address.reader()
        self.taken: set[tuple[str, int]] = set()
        self.foreign: list[StoredChunk] = []
        self.written = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            assert self.writer.wait(0.0)
            self.writer.write(make_chunk(self.written, steps=STEPS))
            self.written += 1

    def poll(self) -> None:
        """Do what the feed does."""
        found = self.reader.read("pong", 4)
        self.foreign += [chunk for chunk in found if chunk.foreign]
        self.taken |= set(ids([chunk for chunk in found if not chunk.foreign]))
        self.reader.commit()

    def pushes_everything(self) -> bool:
        self.poll()
        return self.writer.flush(0.0) == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.sampled_from(sorted(set(POISONS) - SLOW)), st.just("poll"), st.just("write")), max_size=12)
)
def test_any_number_of_them_in_any_order(client: redis.Redis, one_redis_server: PrivateRedis, steps: list[str]) -> None:
    run_name = uuid.uuid4().hex
    pair, keys = Pair(one_redis_server, run_name), stream_keys(run_name, "pong", 0)
    # A forged number that its producer has not reached hides what comes up to it: nobody can tell it from the truth.
    pair.write(1)
    until(pair.pushes_everything, "the first is pushed")
    for step in steps:
        if step == "poll":
            # A read or commit between two poisons may fail; the next one does not.
            with suppress(BufferUnavailable):
                pair.poll()
        elif step == "write":
            pair.write(2)
        else:
            with suppress(redis.ResponseError):
                POISONS[step](client, keys)
    pair.poll()
    pair.write(12)
    until(pair.pushes_everything, f"all is pushed after {steps}")
    for _ in range(10):
        pair.poll()
    assert {("producer-a", sequence) for sequence in range(pair.written - 12, pair.written)} <= pair.taken
    assert game_stats(client, run_name, "pong").unread == 0
    delete_run(client, run_name)


@pytest.fixture
def client(one_redis_server: PrivateRedis) -> Iterator[redis.Redis]:
    with connect(one_redis_server.url) as connection:
        yield connection


@pytest.mark.parametrize("read_before", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_stream_goes_on(
    poison: str, read_before: bool, one_redis_server: PrivateRedis, client: redis.Redis, run_name: str
) -> None:
    pair, keys = Pair(one_redis_server, run_name), stream_keys(run_name, "pong", 0)
    pair.write(BEFORE)
    if read_before:
        pair.poll()
        pair.poll()
    POISONS[poison](client, keys)
    # More than the backlog holds: they all get through only if the cursor moves on, too.
    pair.write(20)
    until(pair.pushes_everything, "all is pushed")
    for _ in range(20):
        pair.poll()
    newest = {("producer-a", sequence) for sequence in range(BEFORE, pair.written)}
    assert newest <= pair.taken, poison
    stats = game_stats(client, run_name, "pong")
    assert stats.unread == 0 and stats.transitions <= 100
    assert all(chunk.data == b"" and len(chunk.foreign) < 300 for chunk in pair.foreign)
