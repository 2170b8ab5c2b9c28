"""What each role may do in Redis: on Debian's redis-server with TLS and the generated ACL file, and on Redis 6.2.

Redis 6.2 knows no selectors; tests/cluster/plain_redis.py says what that leaves to be tested there.
"""

from pathlib import Path

import pytest
import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import delete_run, game_stats, list_runs
from cluster.models.ledger import Ledger
from cluster.models.registry import RedisModelRegistry
from cluster.redis.acl import main as print_acl
from cluster.redis.acl import roles, user_line
from cluster.redis.connection import connect, require_server
from cluster.redis.holder import Holder, read_claim
from cluster.redis.keys import StreamKeys, claim_key, model_keys, stream_keys
from cluster.redis.rights import require_rights
from cluster.redis.scripts import NAMES, load_scripts, script_sha
from distill.errors import BufferUnavailable, ConfigError
from tests.support import programs
from tests.support.chunk_streams import make_chunk
from tests.support.plain_redis import PlainRedis
from tests.support.tls_redis import TlsRedis
from tests.support.users_redis import OTHER_RUN, ROOT, RUN, Command, RedisWithUsers

ACTOR, LEARNER, OPERATOR, STRANGER = f"{RUN}-actor", f"{RUN}-learner", "operator", f"{OTHER_RUN}-learner"
STREAM = stream_keys(RUN, "pong", 0)
MODELS = model_keys(RUN, "student")
FOREIGN = "another-application:1"


def script(name: str, keys: tuple[str, ...], *arguments: object) -> Command:
    return ("EVALSHA", script_sha(name), len(keys), *keys, *arguments)


def push(stream: StreamKeys) -> Command:
    keys = (stream.chunks, stream.meta, stream.producers, stream.cursors)
    return script("push", keys, "producer_id", 0, 4, b"chunk", 100, 100, 1, "", "epoch")


def read(stream: StreamKeys) -> Command:
    keys = (stream.chunks, stream.meta, stream.producers, stream.cursors)
    return script("read", keys, "id", "role", 0, 0, "server", "epoch", 1, 2**20, 0, "epoch")


PLAYING, LEARNING, TENDING, NOBODY = (ACTOR, LEARNER), (LEARNER,), (OPERATOR,), ()
MATRIX: list[tuple[Command, tuple[str, ...]]] = [
    (("PING",), (ACTOR, LEARNER, OPERATOR, STRANGER)),
    # Chunks.
    (push(STREAM), PLAYING),
    (("XADD", STREAM.chunks, "*", "data", "x"), PLAYING),
    (("XTRIM", STREAM.chunks, "MAXLEN", "1000"), PLAYING),
    (("XRANGE", STREAM.chunks, "-", "+"), PLAYING),
    (("HGET", STREAM.producers, "producer_id"), PLAYING),
    (("HGET", STREAM.cursors, "0"), PLAYING),
    (("HSET", STREAM.meta, "field", "x"), PLAYING),
    (("HSET", STREAM.producers, "producer_id", "1"), PLAYING),
    (("XLEN", STREAM.chunks), (LEARNER, OPERATOR)),
    (("MEMORY", "USAGE", STREAM.chunks), (LEARNER, OPERATOR)),
    (read(STREAM), LEARNING),
    (script("commit", (STREAM.meta, STREAM.cursors), "id", "role", 0, 0, 0, "server", "epoch"), LEARNING),
    (script("stats", (STREAM.chunks, STREAM.meta, STREAM.cursors), 1), LEARNING),
    (("HSET", STREAM.cursors, "0", "4"), LEARNING),
    (("HDEL", STREAM.cursors, "0"), LEARNING),
    (("DEL", STREAM.chunks), NOBODY),
    # Whoever reads mends what strangers have written.
    (("XDEL", STREAM.chunks, "1-1"), LEARNING),
    (("XSETID", STREAM.chunks, "4102444800000-1"), LEARNING),
    (("XREVRANGE", STREAM.chunks, "+", "-"), LEARNING),
    (("TYPE", STREAM.chunks), LEARNING),
    (("HDEL", STREAM.meta, "field"), LEARNING),
    (("EXPIRE", STREAM.chunks, "1"), NOBODY),
    (("RENAME", STREAM.chunks, STREAM.chunks), NOBODY),
    (("DUMP", STREAM.chunks), NOBODY),
    # Whose the run is.
    (script("claim", (claim_key(RUN),), "id", "role", 0, "", "", ""), LEARNING),
    (script("claim", (STREAM.meta,), "id", "role", 0, "", "", ""), LEARNING),
    (script("claim", (claim_key(OTHER_RUN),), "id", "role", 0, "", "", ""), (STRANGER,)),
    (("HMGET", claim_key(RUN), "run_id"), (LEARNER, OPERATOR)),
    (("HSET", claim_key(RUN), "run", "1"), LEARNING),
    (("UNLINK", claim_key(RUN)), (LEARNER, OPERATOR)),
    # Models.
    (("GET", MODELS.model + "1"), PLAYING),
    (("HGET", MODELS.metadata, "1"), PLAYING),
    (("HGETALL", MODELS.names), PLAYING),
    (("SMEMBERS", MODELS.held), PLAYING),
    (("SET", MODELS.model + "1", "x"), LEARNING),
    (("SET", MODELS.newest, "1"), LEARNING),
    (("HSET", MODELS.names, "best", "1"), LEARNING),
    (("HSET", MODELS.metadata, "1", "{}"), LEARNING),
    (("SADD", MODELS.held, "1"), LEARNING),
    (("SREM", MODELS.held, "7"), LEARNING),
    (("SET", MODELS.revision, "1"), LEARNING),
    (("HSET", model_keys(RUN, "pong").verdicts, "1", "{}"), LEARNING),
    (("RPUSH", model_keys(RUN, "pong").promotions, "{}"), LEARNING),
    (("LRANGE", model_keys(RUN, "pong").promotions, "0", "-1"), LEARNING),
    (("UNLINK", MODELS.model + "7"), (LEARNER, OPERATOR)),
    (("SET", MODELS.model[: MODELS.model.index("model:")] + "anything-else", "x"), NOBODY),
    # The other run is out of reach, also through a script.
    (push(stream_keys(OTHER_RUN, "pong", 0)), (STRANGER,)),
    (("XRANGE", stream_keys(OTHER_RUN, "pong", 0).chunks, "-", "+"), (STRANGER,)),
    (read(stream_keys(OTHER_RUN, "pong", 0)), (STRANGER,)),
    (("GET", model_keys(OTHER_RUN, "student").model + "1"), (STRANGER,)),
    (("SET", model_keys(OTHER_RUN, "student").model + "1", "x"), (STRANGER,)),
    # All runs, and nothing that is not ours.
    (("UNLINK", STREAM.chunks), (LEARNER, OPERATOR)),
    (("UNLINK", stream_keys(OTHER_RUN, "pong", 0).chunks), (OPERATOR, STRANGER)),
    (("SCAN", "0"), TENDING),
    (("GET", FOREIGN), NOBODY),
    (("UNLINK", FOREIGN), NOBODY),
    (("KEYS", "*"), NOBODY),
    (("RANDOMKEY",), NOBODY),
    (("DBSIZE",), NOBODY),
    (("FLUSHALL",), NOBODY),
    (("FLUSHDB",), NOBODY),
    (("SWAPDB", "0", "0"), NOBODY),
    # Scripts: actors run those that are there.
    (("SCRIPT", "LOAD", "return 1"), (LEARNER, STRANGER)),
    (("EVAL", "return 1", "0"), NOBODY),
    (("EVAL_RO", "return 1", "0"), NOBODY),
    (("SCRIPT", "FLUSH"), NOBODY),
    (("SCRIPT", "KILL"), NOBODY),
    (("FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f', function() end)"), NOBODY),
    (("FCALL", "f", "0"), NOBODY),
    # The server itself.
    (("INFO",), (LEARNER, OPERATOR, STRANGER)),
    (("ACL", "LOAD"), TENDING),
    (("ACL", "SETUSER", ACTOR, "+@all"), NOBODY),
    (("ACL", "LIST"), NOBODY),
    (("ACL", "SAVE"), NOBODY),
    (("CONFIG", "GET", "*"), NOBODY),
    (("CONFIG", "SET", "maxmemory", "1"), NOBODY),
    (("DEBUG", "SLEEP", "0"), NOBODY),
    (("MONITOR",), NOBODY),
    (("CLIENT", "LIST"), NOBODY),
    (("CLIENT", "KILL", "TYPE", "normal"), NOBODY),
    (("SLOWLOG", "GET"), NOBODY),
    (("REPLICAOF", "NO", "ONE"), NOBODY),
    (("PSYNC", "?", "-1"), NOBODY),
    (("MODULE", "LOAD", "/x"), NOBODY),
    (("SAVE",), NOBODY),
    (("BGREWRITEAOF",), NOBODY),
    (("SHUTDOWN",), NOBODY),
    (("PUBLISH", "channel", "x"), NOBODY),
    (("SUBSCRIBE", "channel"), NOBODY),
    (("COMMAND", "LIST"), NOBODY),
]  # fmt: skip


def name(command: Command) -> str:
    scripts = {script_sha(script): f"{script}.lua" for script in NAMES}
    text = " ".join(scripts.get(part, part) for part in command if isinstance(part, str))
    return text[:60].replace("\n", " ")


@pytest.mark.parametrize(
    "command, allowed", MATRIX, ids=[f"{index}-{name(row[0])}" for index, row in enumerate(MATRIX)]
)
@pytest.mark.parametrize("user", [ACTOR, LEARNER, OPERATOR, STRANGER])
def test_the_matrix(
    user: str, command: Command, allowed: tuple[str, ...], every_users_redis: list[RedisWithUsers]
) -> None:
    knowing = [server for server in every_users_redis if server.has(command)]
    if not knowing:
        pytest.skip(programs.without(programs.DEBIAN_REDIS, "commands of Redis 7"))
    for server in knowing:
        load_scripts(server.connected(LEARNER))
        assert server.allows(user, command) == (user in allowed), server.url


@pytest.mark.parametrize("call", ["redis.call('FLUSHALL')", "redis.call('KEYS', '*')"])
def test_a_script_of_a_learner_has_no_more_rights_than_he(call: str, users_redis: RedisWithUsers) -> None:
    learner = users_redis.connected(LEARNER)
    sha = learner.script_load(call)
    with pytest.raises(redis.ResponseError, match="can't run this command"):
        learner.evalsha(sha, 0)


def test_a_script_reaches_no_key_of_another_run(users_redis: RedisWithUsers) -> None:
    stranger = users_redis.connected(STRANGER)
    sha = stranger.script_load(f"return redis.call('GET', '{MODELS.model}1')")
    with pytest.raises(redis.ResponseError, match="can't access at least one of the keys"):
        stranger.evalsha(sha, 0)


def test_our_classes_work_under_their_roles(
    users_redis: RedisWithUsers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = users_redis
    address = BufferAddress(server.url, RUN, ("breakout",), Limits(1_000, 1_000, shards=2))
    server.become(LEARNER, monkeypatch)
    require_server(connect(server.url))
    require_rights(connect(server.url), RUN, "breakout")
    with pytest.raises(ConfigError, match=f"rights of {OTHER_RUN}-learner"):
        require_rights(connect(server.url), OTHER_RUN, "breakout")
    holder = Holder(RUN, "id of the run", "host", "/runs/demo", "learner of student", 1)
    reader = address.reader(holder=holder)
    published = Ledger(connect(server.url), RUN, "student", tmp_path, holder=holder)
    server.become(ACTOR, monkeypatch)
    writer = address.writer("breakout")
    registry = RedisModelRegistry(connect(server.url), RUN, "student")

    for sequence in range(4):
        writer.write(make_chunk(sequence, game="breakout"))
    assert writer.flush(10.0) == 0 and writer.counters.chunks == 4 and writer.counters.outages == 0
    assert len(reader.read("breakout", 10)) == 4
    reader.commit()
    versions = [published.publish(b"weights 0", {"updates": 0})]
    published.assign("best", versions[0])
    versions += [published.publish(b"weights %d" % index, {"updates": index}) for index in range(1, 10)]
    assert registry.resolve("latest") == versions[-1] and registry.names()["best"] == versions[0]
    assert registry.fetch(versions[-1]) == b"weights 9" and registry.describe(versions[-1]) == {"updates": 9}
    with pytest.raises(BufferUnavailable, match=r"the registry at .* holds"):
        registry.fetch(versions[1])

    for refused in (lambda: registry.publish(b"x", {}), lambda: address.reader().read("breakout", 1)):
        with pytest.raises(BufferUnavailable, match=r"its user may not do this; `python -m cluster\.redis\.acl`"):
            refused()

    server.become(LEARNER, monkeypatch)
    stats = game_stats(connect(server.url), RUN, "breakout", shards=range(2))
    assert (stats.transitions, stats.unread) == (16, 0)

    server.become(OPERATOR, monkeypatch)
    operator = connect(server.url)
    assert (claim := read_claim(operator, RUN)) is not None and claim.folder == "/runs/demo"
    (usage,) = [usage for usage in list_runs(operator) if usage.run == RUN]
    assert usage.chunks >= 4 and usage.models >= 8 and usage.bytes > 0
    assert delete_run(operator, RUN) > 10
    assert RUN not in {usage.run for usage in list_runs(operator)}

    server.become(LEARNER, monkeypatch)
    Ledger(connect(server.url), RUN, "student", tmp_path).synchronise()
    restored = RedisModelRegistry(connect(server.url), RUN, "student")
    assert restored.fetch(versions[-1]) == b"weights 9", "from the run's folder"


# Redis 6.2 writes scripts into the append-only file. Without that file it, too, forgets them when it is restarted.
@pytest.mark.parametrize("kind, file", [(PlainRedis, "no"), (TlsRedis, "yes")], ids=["plain", "tls"])
def test_producers_live_through_a_restart_and_a_full_server(
    kind: type[RedisWithUsers], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = kind(tmp_path, ("--maxmemory", "4mb", "--appendonly", file))
    try:
        address = BufferAddress(server.url, RUN, ("pong",), Limits(1_000_000, 1_000_000))
        server.become(LEARNER, monkeypatch)
        require_server(connect(server.url))
        reader = address.reader()
        server.become(ACTOR, monkeypatch)
        writer = address.writer("pong", timeout=5.0)
        writer.write(make_chunk(0))
        assert writer.counters.chunks == 1
        server.kill()
        server.start()
        writer.write(make_chunk(1))
        assert writer.counters.chunks == 1 and "the learner loads them" in (writer.trouble or "")
        reader.read("pong", 10)
        assert writer.flush(10.0) == 0

        server.become(LEARNER, monkeypatch)
        sequence = 2
        while not game_stats(connect(server.url), RUN, "pong").trimmed_chunks:
            writer.write(make_chunk(sequence, steps=64))
            reader.read("pong", 100)
            reader.commit()
            sequence += 1
            assert sequence < 200, "at maxmemory the oldest chunks make room"
        assert writer.trouble is None
        writer.close()
        reader.close()
    finally:
        server.stop()


def test_a_run_that_is_added_later_can_connect_after_acl_load(users_redis: RedisWithUsers) -> None:
    before = users_redis.password(ACTOR)
    users_redis.add_runs("late")
    assert users_redis.password(ACTOR) == before and f"{OTHER_RUN}-learner" in users_redis.users
    with users_redis.client("late-actor") as late:
        with pytest.raises(redis.AuthenticationError):
            late.ping()
        users_redis.connected(OPERATOR).acl_load()
        assert late.ping()


def test_the_template_says_what_the_code_says() -> None:
    lines = ["user default reset off"]
    for user, role in roles(["RUN"]).items():
        lines.append(user_line(user, role, f"SHA256_OF_THE_PASSWORD_OF_{user}"))
    assert (ROOT / "docker/redis/users.acl.template").read_text() == "\n".join(lines) + "\n"


def test_passwords_are_only_there_as_hashes(tls_redis: TlsRedis) -> None:
    text = (tls_redis.folder / "users.acl").read_text()
    assert len(tls_redis.users) >= 5 and all(tls_redis.password(user) not in text for user in tls_redis.users)
    secrets = [tls_redis.folder / name for name in ("passwords", "ca.key", "redis.key", "users.acl", "auth_token")]
    assert {file.stat().st_mode & 0o77 for file in (*secrets, *(tls_redis.folder / "passwords").iterdir())} == {0}


@pytest.mark.parametrize(
    "arguments, content, expected",
    [
        (("--run", "demo"), None, "password of operator: expected a file with one line"),
        (("--run", "demo"), "", "password of operator: expected one line, the password"),
        (("--run", "demo"), "secret\nsecret\n", "found 2 lines"),
        (("--run", "demo *"), "secret", "name: expected text that matches"),
        (("--run", "demo", "--run", "demo"), "secret", "expected every name once"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], content: str | None, expected: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "operator").write_text(content)
    with pytest.raises(ConfigError, match=expected) as caught:
        print_acl([*arguments, "--secrets", str(tmp_path)])
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")
