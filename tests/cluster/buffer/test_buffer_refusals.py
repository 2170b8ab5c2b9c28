"""Redis servers that answer but cannot serve a run: each is refused by name, before anything is made."""

import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from cluster import cli
from cluster.redis.acl import learner
from cluster.redis.connection import connect, require_primary, require_server
from cluster.redis.private_server import PrivateRedis
from cluster.redis.rights import AFTER_KEY, require_rights
from distill.errors import BufferUnavailable, ConfigError
from tests.support.chunk_streams import until
from tests.support.sandbox import TINY

RUN = "demo"
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random",
            "volatile-ttl")  # fmt: skip


@contextmanager
def serving(binary: str, folder: Path, *arguments: str) -> Generator[int]:
    """Run a redis-server on a port of this machine; yield the port as soon as it answers."""
    folder.mkdir(exist_ok=True)
    (folder / "redis.conf").touch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [binary, str(folder / "redis.conf"), *arguments, "--port", str(port), "--bind", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--dir", str(folder)], stdout=log, stderr=log, cwd=folder)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            with redis.Redis(port=port, protocol=2) as client:
                return bool(client.info())
        except redis.RedisError:
            return False

    try:
        until(answers, "redis-server answers")
        yield port
    finally:
        process.kill()
        process.wait(10.0)


def refusal(url: str) -> str:
    """Return why a run cannot use a server."""
    with connect(url) as client, pytest.raises((ConfigError, BufferUnavailable)) as caught:
        require_server(client)
        require_rights(client, RUN, "pong")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_replica_is_refused_with_its_primary(
    redis_binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        serving(redis_binary, tmp_path / "primary", "--repl-diskless-sync-delay", "0") as primary,
        serving(redis_binary, tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary)) as replica,
    ):
        with redis.Redis(port=replica, protocol=2) as client:
            until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        url = f"redis://127.0.0.1:{replica}"
        assert (
            f"buffer service at {url}/0: expected a primary, found a replica, which takes no writes; name its primary,"
            f" 127.0.0.1:{primary}" in refusal(url)
        )
        for arguments in (("run", *TINY, "--serial"), ("teach", "--game", "pong"), ("runs", "--delete", RUN)):
            assert cli.run([*arguments, "--buffer", url]) == 2
            assert "found a replica" in capsys.readouterr().err
        assert not (tmp_path / "runs").exists(), "nothing is made"
        with connect(f"redis://127.0.0.1:{primary}") as client:
            require_server(client)
            require_rights(client, RUN, "pong")
            assert client.dbsize() == 0, "trying leaves nothing"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--cluster-enabled", "yes"), "expected a Redis on its own, found a node of a Redis Cluster"),
        (("--sentinel",), "expected a Redis that keeps data, found a Sentinel"),
        (("--min-replicas-to-write", "1"), "it waits for its replicas"),
        (("--databases", "1", "--maxmemory-policy", "volatile-ttl"), "found volatile-ttl"),
    ],
    ids=["cluster", "sentinel", "replicas", "database"],
)
def test_a_server_of_another_kind_is_refused(
    arguments: tuple[str, ...], expected: str, redis_binary: str, tmp_path: Path
) -> None:
    with serving(redis_binary, tmp_path / "server", *arguments) as port:
        url = f"redis://127.0.0.1:{port}"
        assert expected in refusal(url)
        if arguments[0] == "--databases":
            assert "take a smaller database number" in refusal(f"{url}/1")


@pytest.mark.parametrize("policy", POLICIES)
def test_an_evicting_policy_is_refused_with_what_to_do(policy: str, redis_server: PrivateRedis) -> None:
    with connect(redis_server.url) as client:
        client.config_set("maxmemory-policy", policy)
        try:
            message = refusal(redis_server.url)
            require_primary(client)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
        require_server(client)
    assert f"expected maxmemory-policy noeviction, found {policy}, which may throw away" in message
    assert "`CONFIG SET maxmemory-policy noeviction`" in message


def test_a_server_that_loads_its_data_is_named(redis_binary: str, tmp_path: Path) -> None:
    with serving(redis_binary, tmp_path / "server") as port, redis.Redis(port=port, protocol=2) as client:
        client.config_set("rdbcompression", "no")
        client.mset({str(key): "x" * 100_000 for key in range(500)})
        client.save()
    # It answers after every 2 MB of them, and is done after 10 s.
    with serving(redis_binary, tmp_path / "server", "--key-load-delay", "20000") as port:
        url = f"redis://127.0.0.1:{port}"
        assert f"buffer service at {url}/0: it still reads its data, " in refusal(url)
        assert "it still reads its data" in refusal(f"{url}/1"), "also where SELECT is refused meanwhile"


def test_a_server_at_its_limit_serves(own_redis: PrivateRedis) -> None:
    with connect(own_redis.url) as client:
        client.config_set("maxmemory", "1mb")
        require_server(client)
        require_rights(client, RUN, "pong")


def test_every_command_of_the_role_can_be_tried() -> None:
    assert {name for grant in learner(RUN).grants for name in grant.commands} == set(AFTER_KEY)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            ("~distill:*", "+@all", "-xadd"),
            "its user may not do what a run does: XADD (first: xadd distill:{demo:pong:",
        ),
        (("~distill:*", "+@all", "-memory", "-hmget"), "HMGET, MEMORY USAGE (first: "),
        (("~distill:*", "+@all", "-lrange"), "does: LRANGE (first: lrange distill:{demo}:"),
        (("~distill:*", "+@all", "-multi"), "does: EXEC, MULTI (first: multi)"),
        (("~distill:*", "+@all", "-exec"), "does: EXEC (first: exec)"),
        (("~distill:{other*", "+@all"), "`python -m cluster.redis.acl --run demo` prints the rights of demo-learner"),
        (("~distill:{demo:*", "+@all"), "distill:{demo}:"),
        (("~distill:*", "+@all", "-info"), "its user may not do this; `python -m cluster.redis.acl`"),
        (("~distill:*", "+@all", "-script"), "cannot load scripts"),
        (("~distill:*", "+@all", "-evalsha"), "does: EVALSHA (first: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_user_who_may_not_do_what_a_run_does_is_refused(
    rules: tuple[str, ...], expected: str, redis_server: PrivateRedis
) -> None:
    with connect(redis_server.url) as client:
        keys = client.dbsize()
        client.execute_command("ACL", "SETUSER", "someone", "reset", "on", ">secret", *rules)
        try:
            message = refusal(redis_server.url.replace("unix://", "unix://someone:secret@"))
        finally:
            client.execute_command("ACL", "DELUSER", "someone")
        assert client.dbsize() == keys, "trying leaves nothing"
    assert expected in message and "secret" not in message


def test_a_user_with_the_rights_of_the_run_passes(redis_server: PrivateRedis) -> None:
    with connect(redis_server.url) as client:
        client.execute_command("ACL", "SETUSER", "someone", "reset", "on", ">secret", f"~distill:{{{RUN}*", "+@all")
        try:
            with connect(redis_server.url.replace("unix://", "unix://someone:secret@")) as other:
                require_server(other)
                require_rights(other, RUN, "pong")
        finally:
            client.execute_command("ACL", "DELUSER", "someone")
