"""`distill runs`: what it lists, and what it deletes and leaves alone."""

from pathlib import Path

import pytest
import yaml

from cluster import cli
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.keys import stream_keys
from cluster.redis.private_server import PrivateRedis
from cluster.state.folder import RunFolder, new_run
from distill.config import BufferConfig, DistillConfig, RunConfig


def make_run(root: Path, name: str, buffer: str | None = None) -> RunFolder:
    config = RunConfig(general=DistillConfig(root=root, name=name), buffer=BufferConfig(buffer=buffer))
    return new_run(config, ["pong"])


def fill_redis(url: str, name: str) -> int:
    """Store something under a run's name and return its number of keys."""
    with connect(url) as client:
        client.xadd(stream_keys(name, "pong", 0).chunks, {"data": b"chunk"})
        client.hset(stream_keys(name, "pong", 0).meta, "pushed_chunks", "1")
        RedisModelRegistry(client, name, "student").publish(b"model", {})
        return len(list(client.scan_iter(match=f"distill:{{{name}}}:*"))) + 2


def keys(url: str, name: str) -> set[bytes]:
    with connect(url) as client:
        tags = (f"distill:{{{name}}}:", stream_keys(name, "pong", 0).chunks)
        return {key for key in client.scan_iter() if key.decode().startswith(tags)}


def distill(*arguments: str) -> int:
    return cli.run(["runs", *arguments])


def line_of(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if f" {name} " in line)


def test_the_list_tells_every_runs_state_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stopped, finished, running = (make_run(tmp_path, name) for name in ("one", "two", "three"))
    stopped.append("metrics.jsonl", {"updates": 1234})
    stopped.append("evaluations.jsonl", {"score": 0.5})
    stopped.append("evaluations.jsonl", {"score": 0.75})
    finished.student.write_bytes(b"0" * 2_500_000)
    (tmp_path / "no run").mkdir()
    with running.claim():
        assert distill("--root", str(tmp_path)) == 0
    output = capsys.readouterr().out
    assert all(part in line_of(output, "one") for part in ("stopped", "1,234", "0.75"))
    assert all(part in line_of(output, "two") for part in ("finished", " 2.5 "))
    assert "running" in line_of(output, "three")
    assert "no run" not in output


def test_an_empty_or_missing_root_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert distill("--root", str(tmp_path / "missing")) == 0
    assert "no runs in" in capsys.readouterr().out


def test_the_list_tells_what_runs_keep_in_a_redis(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: pytest.CaptureFixture[str]
):
    make_run(tmp_path, run_name)
    fill_redis(one_redis_server.url, run_name)
    fill_redis(one_redis_server.url, f"{run_name}-gone")
    assert distill("--root", str(tmp_path), "--buffer", one_redis_server.url) == 0
    output = capsys.readouterr().out
    assert line_of(output, run_name).rstrip("│ ").endswith("1"), "one chunk"
    assert "in Redis only" in line_of(output, f"{run_name}-gone")


@pytest.mark.parametrize("named", [True, False], ids=["redis of --buffer", "redis of the run's configuration"])
def test_a_run_is_deleted_here_and_in_its_redis_and_no_other(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: pytest.CaptureFixture[str], named: bool
):
    url, other = one_redis_server.url, f"{run_name}-other"
    make_run(tmp_path, run_name, None if named else url)
    kept = make_run(tmp_path, other, url)
    count = fill_redis(url, run_name)
    fill_redis(url, other)
    before = keys(url, other)
    arguments = ("--root", str(tmp_path), "--delete", run_name)
    assert distill(*arguments, *(("--buffer", url) if named else ())) == 0
    assert f"its folder and {count} keys" in capsys.readouterr().out
    assert not (tmp_path / run_name).exists()
    assert keys(url, run_name) == set()
    assert kept.path.exists() and keys(url, other) == before != set()


def test_what_is_only_in_redis_can_be_deleted(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: pytest.CaptureFixture[str]
):
    count = fill_redis(one_redis_server.url, run_name)
    arguments = ("--root", str(tmp_path), "--delete", run_name, "--buffer", one_redis_server.url)
    assert distill(*arguments) == 0
    assert f"deleted {count} keys" in capsys.readouterr().out
    assert distill(*arguments) == 2
    assert f"run {run_name}: there is none" in capsys.readouterr().err


def test_a_running_run_is_not_deleted(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: pytest.CaptureFixture[str]
):
    folder = make_run(tmp_path, run_name)
    fill_redis(one_redis_server.url, run_name)
    arguments = ("--root", str(tmp_path), "--delete", run_name, "--buffer", one_redis_server.url)
    with folder.claim():
        assert distill(*arguments) == 2
    assert "it is running; stop it" in capsys.readouterr().err
    assert folder.path.exists() and keys(one_redis_server.url, run_name)
    assert distill(*arguments) == 0


@pytest.mark.parametrize("name", ["missing", "../root/one", "", ".", "one/redis", "*"])
def test_a_name_that_is_no_run_deletes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    folder = make_run(tmp_path / "root", "one")
    (tmp_path / "config.yaml").write_text("")
    (folder.path / "redis").mkdir()
    assert distill("--root", str(tmp_path / "root"), "--delete", name) == 2
    assert "there is none" in capsys.readouterr().err
    assert folder.path.exists()


def test_nothing_is_deleted_while_the_runs_redis_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_run(tmp_path, "one", "redis://127.0.0.1:1")
    assert distill("--root", str(tmp_path), "--delete", "one") == 2
    assert "nothing is deleted, because its Redis does not answer" in capsys.readouterr().err
    assert folder.path.exists()


def test_a_run_whose_configuration_is_damaged_can_be_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_run(tmp_path, "one")
    (folder.path / "config.yaml").write_text(yaml.safe_dump({"tau": "cold"}))
    assert distill("--root", str(tmp_path), "--delete", "one") == 0
    assert "configuration is damaged" in capsys.readouterr().out
    assert not folder.path.exists()
