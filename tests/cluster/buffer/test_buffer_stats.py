"""Runs side by side in one Redis: listed, told apart, deleted one at a time."""

import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import GameStats, RunUsage, delete_run, game_stats, list_runs
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.keys import model_keys, parse_key, run_pattern, stream_keys
from cluster.redis.private_server import PrivateRedis
from tests.support.chunk_streams import ids, make_chunk, read_all


def fill(client: redis.Redis, url: str, run: str, chunks: int) -> BufferAddress:
    address = BufferAddress(url, run, ("pong", "breakout"), Limits(1_000, 1_000, shards=2))
    for game in address.games:
        writer = address.writer(game)
        for sequence in range(chunks):
            writer.write(make_chunk(sequence, game=game))
    RedisModelRegistry(client, run, "student").publish(b"model", {})
    return address


def test_runs_do_not_see_each_other_and_are_deleted_one_by_one(own_redis: PrivateRedis) -> None:
    client = connect(own_redis.url)
    client.set("a key of somebody else", "1")
    names = ["a", "a.b", "ab", "a-b"]
    addresses = {name: fill(client, own_redis.url, name, chunks) for chunks, name in enumerate(names, start=1)}
    for chunks, name in enumerate(names, start=1):
        assert len(read_all(addresses[name].reader())) == chunks
    usage = list_runs(client)
    assert [(run.run, run.chunks, run.models) for run in usage] == [
        ("a", 2, 1),
        ("a-b", 8, 1),
        ("a.b", 4, 1),
        ("ab", 6, 1),
    ]
    assert all(run.bytes > 4 * 7_056 for run in usage)
    assert delete_run(client, "a") > 0
    assert [run.run for run in list_runs(client)] == ["a-b", "a.b", "ab"]
    assert delete_run(client, "a") == 0
    assert ids(read_all(addresses["a.b"].reader())) == [("producer-a", 0), ("producer-a", 1)]
    assert client.get("a key of somebody else") == b"1"


def test_a_pattern_takes_a_name_literally(own_redis: PrivateRedis) -> None:
    client = connect(own_redis.url)
    names = ["a*", "ab", "a?", "[ab]", "a\\", "a^-]", "a"]
    for name in names:
        client.set(model_keys(name, "student").newest, 1)
        client.set(stream_keys(name, "pong", 0).meta, 1)
    for name in names:
        expected = {model_keys(name, "student").newest, stream_keys(name, "pong", 0).meta}
        assert {key.decode() for key in client.scan_iter(match=run_pattern(name))} == expected


def test_keys_are_told_apart() -> None:
    stream = parse_key(stream_keys("run.1", "pong", 3).chunks.encode())
    assert stream is not None
    assert (stream.run, stream.game, stream.shard, stream.kind) == ("run.1", "pong", 3, "chunks")
    model = parse_key((model_keys("run.1", "student").model + "4").encode())
    assert model is not None
    assert (model.run, model.game, model.shard, model.kind) == ("run.1", None, None, "model:student:4")
    assert parse_key(b"distill:other") is None
    assert parse_key(b"x{run}:y") is None


def test_an_empty_game_and_an_empty_server(own_redis: PrivateRedis) -> None:
    client = connect(own_redis.url)
    assert game_stats(client, "run", "pong") == GameStats(0, 0, 0, 0, 0, 0, 0)
    assert list_runs(client) == []
    RedisModelRegistry(client, "run", "student").publish(b"x" * 100_000, {})
    (usage,) = list_runs(client)
    assert usage == RunUsage("run", 0, 1, usage.bytes)
    assert usage.bytes > 100_000
