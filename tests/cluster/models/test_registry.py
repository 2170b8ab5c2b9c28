"""The model registry: versions, names, what is kept, the mirror, and many clients at once."""

import json
import threading
from pathlib import Path

import pytest

from cluster.buffer.stats import delete_run
from cluster.models.ledger import Ledger
from cluster.models.mirror import ModelMirror
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable, RunError
from distill.protocols import ModelRegistry


def test_versions_and_names(redis_server: PrivateRedis, run_name: str) -> None:
    registry: ModelRegistry = RedisModelRegistry(connect(redis_server.url), run_name, "student")
    assert registry.resolve("latest") is None
    assert registry.publish(b"one", {"updates": 10}) == 1
    assert registry.publish(b"two", {"updates": 20, "scores": {"pong": 3.5}}) == 2
    assert (registry.fetch(1), registry.fetch(2)) == (b"one", b"two")
    assert registry.describe(2) == {"updates": 20, "scores": {"pong": 3.5}}
    assert registry.resolve("latest") == 2
    registry.assign("best", 1)
    assert registry.resolve("best") == 1
    other = RedisModelRegistry(connect(redis_server.url), run_name + "x", "student")
    assert other.resolve("best") is None
    assert other.publish(b"", {}) == 1


@pytest.mark.parametrize("version", [0, 2, -1])
def test_an_unknown_version_is_refused(redis_server: PrivateRedis, run_name: str, version: int) -> None:
    registry = RedisModelRegistry(connect(redis_server.url), run_name, "student")
    registry.publish(b"one", {})
    message = rf"version {version} of student in run {run_name}.*holds \[1\]"
    for action in (registry.describe, lambda number: registry.assign("best", number)):
        with pytest.raises(RunError, match=message):
            action(version)
    with pytest.raises(BufferUnavailable, match=message):
        registry.fetch(version)
    assert registry.resolve("best") is None


def test_only_the_newest_and_the_named_are_kept(redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> None:
    ledger = Ledger(connect(redis_server.url), run_name, "student", tmp_path, keep=3)
    registry = RedisModelRegistry(connect(redis_server.url), run_name, "student", keep=3)
    for version in range(1, 8):
        assert ledger.publish(b"%d" % version, {"version": version}) == version
        ledger.turn_down(version, "superseded", "")
        if version == 2:
            registry.assign("best", 2)
        if version == 5:
            registry.assign("candidate", 4)
    held = [2, 4, 5, 6, 7]
    assert [registry.fetch(version) for version in held] == [b"%d" % version for version in held]
    for dropped in (1, 3):
        with pytest.raises(BufferUnavailable, match=rf"version {dropped} .*holds \[2, 4, 5, 6, 7\].*newest 3"):
            registry.fetch(dropped)
        assert registry.describe(dropped) == {"version": dropped}
        with pytest.raises(RunError, match="nor are its bytes in the run's folder"):
            ledger.assign("best", dropped)
    registry.assign("best", 7)
    ledger.publish(b"8", {})
    with pytest.raises(BufferUnavailable, match=r"holds \[4, 6, 7, 8\]"):
        registry.fetch(2)
    models = tmp_path / "models" / "student"
    assert {path.name for path in models.glob("*.safetensors")} == {f"{v}.safetensors" for v in (4, 6, 7, 8)}
    assert len(list(models.glob("[0-9]*.json"))) == 8
    assert json.loads((models / "names.json").read_text()) == {"best": 7, "candidate": 4, "latest": 8}
    assert not list(models.glob("*.tmp"))


def test_what_was_set_aside_stays_in_the_mirror_alone(own_redis: PrivateRedis, tmp_path: Path) -> None:
    client, mirror = connect(own_redis.url), ModelMirror(tmp_path, "student")
    ledger = Ledger(client, "run", "student", tmp_path, keep=2)
    for version in range(1, 6):
        ledger.publish(b"%d" % version, {})
        if version < 4:
            mirror.set_aside(version)
        ledger.turn_down(version, "superseded", "")
    assert [mirror.data(version) for version in range(1, 6)] == [b"1", b"2", b"3", b"4", b"5"]
    assert mirror.held() == [4, 5]
    assert mirror.versions() == [1, 2, 3, 4, 5]
    mirror.drop_aside(2)
    mirror.drop_aside(2)
    mirror.set_aside(2)
    assert mirror.aside() == [1, 3], "of what was dropped there is nothing left to set aside"
    delete_run(client, "run")
    ledger.synchronise()
    registry = RedisModelRegistry(client, "run", "student")
    assert registry.fetch(4) == b"4"
    with pytest.raises(BufferUnavailable, match=r"holds \[4, 5\]"):
        registry.fetch(3)


@pytest.mark.parametrize("lost", ["everything", "tail"])
def test_what_redis_has_lost_comes_back_from_the_mirror(own_redis: PrivateRedis, tmp_path: Path, lost: str) -> None:
    client = connect(own_redis.url)
    directory = tmp_path / "run"
    registry = Ledger(client, "run", "student", directory, keep=2)
    for version in range(1, 4):
        registry.publish(b"%d" % version, {"version": version})
    saved = {key: client.dump(key) for key in client.scan_iter()}
    registry.publish(b"4", {"version": 4})
    registry.publish(b"5", {"version": 5})
    registry.assign("best", 4)
    delete_run(client, "run")
    if lost == "tail":
        for key, value in saved.items():
            client.restore(key, 0, value)
    registry.synchronise()
    again = RedisModelRegistry(client, "run", "student")
    assert (again.resolve("latest"), again.resolve("best")) == (5, 4)
    assert (again.fetch(4), again.fetch(5)) == (b"4", b"5")
    assert [again.describe(version)["version"] for version in range(1, 6)] == [1, 2, 3, 4, 5]
    assert registry.publish(b"6", {}) == 6
    delete_run(client, "run")
    assert registry.publish(b"7", {}) == 7, "a publication restores what was lost, too"
    assert again.fetch(6) == b"6"


def test_redis_is_the_truth_while_it_lives(redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> None:
    client = connect(redis_server.url)
    mirrored = Ledger(client, run_name, "student", tmp_path)
    mirrored.publish(b"1", {})
    RedisModelRegistry(client, run_name, "student").publish(b"2", {})
    RedisModelRegistry(client, run_name, "student").assign("best", 1)
    again = Ledger(client, run_name, "student", tmp_path)
    again.synchronise()
    assert (again.resolve("latest"), again.resolve("best")) == (2, 1)
    assert again.names() == {"best": 1, "latest": 2}
    assert again.publish(b"3", {}) == 3


def test_a_damaged_mirror_is_named(redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> None:
    client = connect(redis_server.url)
    ledger = Ledger(client, run_name, "student", tmp_path)
    ledger.publish(b"1", {})
    delete_run(client, run_name)
    (tmp_path / "models" / "student" / "1.json").write_text("{")
    with pytest.raises(RunError, match=r"1\.json: expected JSON"):
        ledger.synchronise()
    assert RedisModelRegistry(client, run_name, "student").resolve("latest") is None, "nothing is restored by half"


def test_no_reader_sees_half_a_version(redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> None:
    publishers, each = 4, 15
    versions: list[int] = []
    trouble: list[str] = []
    done = threading.Event()

    def publish(directory: Path | None) -> None:
        client, keep = connect(redis_server.url), publishers * each
        registry = RedisModelRegistry(client, run_name, "student", keep=keep)
        if directory is not None:
            registry = Ledger(client, run_name, "student", directory, keep=keep)
        for _ in range(each):
            versions.append(registry.publish(b"model " * 1000, {"size": 6000}))
            registry.assign("best", versions[-1])

    def watch() -> None:
        registry = RedisModelRegistry(connect(redis_server.url), run_name, "student")
        while not done.is_set():
            version = registry.resolve("latest")
            if version is not None and len(registry.fetch(version)) != registry.describe(version)["size"]:
                trouble.append(f"version {version}")

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=publish, args=(tmp_path if index < 2 else None,)) for index in range(publishers)]
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    assert not trouble
    assert sorted(versions) == list(range(1, publishers * each + 1))
    registry = RedisModelRegistry(connect(redis_server.url), run_name, "student")
    assert registry.resolve("latest") == publishers * each


def test_a_server_out_of_reach_is_reported(own_redis: PrivateRedis) -> None:
    registry = RedisModelRegistry(connect(own_redis.url), "run", "student")
    own_redis.stop()
    for action in (lambda: registry.fetch(1), lambda: registry.resolve("best"), lambda: registry.publish(b"", {})):
        with pytest.raises(BufferUnavailable):
            action()
