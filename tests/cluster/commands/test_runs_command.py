"""`distill runs`: what it lists, and what it deletes and leaves alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster import cli
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.keys import stream_keys
from cluster.redis.private_server import PrivateRedis
from cluster.state.folder import RunFolder, new_run
from cluster.state.removal import Removal
from cluster.watch.state import StateReader
from distill.config import BufferConfig, DistillConfig, RunConfig
from distill.errors import RunError
from tests.support import programs

NOBODY = 65534
_WITHOUT_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-m", "cluster.cli")
"""Root without its rights over files of others, who can still read where this Python is installed."""


def distill_without_rights(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `distill` in a folder as a user to whom what belongs to NOBODY is another user's."""
    command = [*_WITHOUT_RIGHTS, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


@pytest.fixture(scope="module")
def two_users() -> None:
    """Skip a test where root cannot become a user without its rights who can run `distill`."""
    if os.geteuid() != 0:
        pytest.skip("without root")
    programs.require("setpriv")
    if subprocess.run([*_WITHOUT_RIGHTS, "--help"], capture_output=True, check=False).returncode != 0:
        pytest.skip("without a Python that root can run when it has lost its rights")


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


@pytest.mark.parametrize(
    "content", ["", "command: run\nname: x\ngames: [pong]\nroot: .\n", "tau: cold\n", "{{", "- 1\n"]
)
@pytest.mark.parametrize("name", ["..", ".", "root", "mine", "mine/", "*", "/", "~", "x\n", "m" * 64])
def test_a_folder_of_the_users_stays_whatever_its_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, content: str
):
    root = tmp_path / "root"
    (root / "mine" / "models").mkdir(parents=True)
    monkeypatch.chdir(root)
    for folder in (tmp_path, root, root / "mine"):
        (folder / "config.yaml").write_text(content)
        (folder / "thesis.txt").write_text("years of work")
    before = everything(tmp_path)
    for place in (str(root), "."):
        assert distill("--root", place, "--delete", name) == 2
        message = capsys.readouterr().err
        assert message.startswith("distill runs: run ") and "Traceback" not in message and message.count("\n") == 1
    assert everything(tmp_path) == before
    assert distill("--root", str(root)) == 0
    assert "mine" not in capsys.readouterr().out


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def fill(folder: RunFolder) -> None:
    """Put into a run's folder what a run of any kind writes."""
    for name in (
        "run.lock", "run.log", "metrics.jsonl", "evaluations.jsonl", "sittings.jsonl", "actors.json", "evaluation.json",
        "table.md", "student.safetensors", "pong.safetensors", "learning_curve.png", "picture.png", ".distill-0a1b.tmp",
        "config.yaml.77.tmp", "checkpoints/student/checkpoint-0000000100.safetensors", "models/pong/.lock",
        "checkpoints/student/manifest.json", "models/pong/12.safetensors", "models/pong/12.aside.safetensors",
        "models/pong/12.json", "models/pong/names.json", "models/pong/ledger.json", "redis/redis.log",
        "redis/server.lock", "redis/server.json", "redis/appendonlydir/appendonly.aof.1.incr.aof",
        "redis/appendonlydir/appendonly.aof.manifest", "redis/temp-12.rdb", "videos/pong.mp4",
        "videos/pong-student.mp4", "videos/.pong.partial.mp4", "tensorboard/events.out.tfevents.1.host.2.0",
    ):  # fmt: skip
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_all_that_a_run_has_written_is_deleted(tmp_path: Path):
    fill(make_run(tmp_path, "one"))
    assert distill("--root", str(tmp_path), "--delete", "one") == 0
    assert everything(tmp_path) == {}


def test_what_the_user_has_put_into_a_run_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_run(tmp_path, "one")
    fill(folder)
    theirs = ("thesis.txt", "best.safetensors", "notes/day.txt", "videos/holiday.mp4", "models/pong/2026-notes.json",
              "checkpoints/student/checkpoint-good.safetensors", "redis/dump.txt")  # fmt: skip
    for name in theirs:
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("mine")
    (folder.path / "shortcut").symlink_to(tmp_path)
    assert distill("--root", str(tmp_path), "--delete", "one") == 0
    output = capsys.readouterr().out
    assert "stays, with what is not the run's" in output and "thesis.txt" in output
    left = {name for name, content in everything(folder.path).items() if content is not None}
    assert left == set(theirs) and (folder.path / "shortcut").is_symlink()
    assert distill("--root", str(tmp_path), "--delete", "one") == 2, "what is left is no run"


def test_a_link_within_a_run_is_removed_and_what_it_names_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, disk = make_run(tmp_path / "runs", "one"), tmp_path / "disk"
    (disk / "student").mkdir(parents=True)
    (disk / "student" / "manifest.json").write_text("kept")
    (folder.path / "checkpoints").symlink_to(disk)
    (folder.path / "student.safetensors").symlink_to(disk / "student" / "manifest.json")
    assert distill("--root", str(tmp_path / "runs"), "--delete", "one") == 0
    assert "checkpoints was a link and is removed; what it names stays" in capsys.readouterr().out
    assert not folder.path.exists() and (disk / "student" / "manifest.json").read_text() == "kept"


def test_a_run_that_is_a_link_is_deleted_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_run(tmp_path / "disk", "one")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(folder.path)
    assert distill("--root", str(tmp_path / "runs"), "--delete", "link") == 2
    assert f"distill runs --root {tmp_path / 'disk'} --delete one" in capsys.readouterr().err
    assert folder.path.exists() and (tmp_path / "runs" / "link").is_symlink()


def test_a_run_is_not_deleted_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = make_run(tmp_path, "one")
    fill(folder)
    monkeypatch.chdir(folder.path / "videos")
    assert distill("--root", str(tmp_path), "--delete", "one") == 2
    assert "this shell is in its folder" in capsys.readouterr().err and (folder.path / "config.yaml").exists()


def test_a_deletion_that_was_killed_looks_like_no_run_and_can_be_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = make_run(tmp_path, "one")
    fill(folder)
    with folder.claim():
        Removal.of(folder).begin()
    assert distill("--root", str(tmp_path)) == 0
    assert "half deleted" in line_of(capsys.readouterr().out, "one")
    assert cli.run(["run", "--resume", str(folder.path)]) == 2
    assert "half deleted" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"half deleted; `distill runs --root .* --delete one` finishes that"):
        make_run(tmp_path, "one")
    assert distill("--root", str(tmp_path), "--delete", "one") == 0
    assert everything(tmp_path) == {}


@pytest.mark.usefixtures("two_users")
def test_a_run_of_another_user_is_listed_and_not_deleted(tmp_path: Path):
    folder = make_run(tmp_path, "one")
    fill(folder)
    (folder.path / "actors.json").write_text("{}")
    give_away(folder.path)
    before = everything(tmp_path)
    listed = distill_without_rights(tmp_path, "runs", "--root", ".")
    assert "stopped" in line_of(listed.stdout, "one") or "finished" in line_of(listed.stdout, "one")
    for arguments in (
        ("runs", "--root", ".", "--delete", "one"),
        ("run", "--resume", "one"),
        ("scale-actors", "one", "pong=2"),
    ):
        done = distill_without_rights(tmp_path, *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "ermission denied" in done.stderr
    (folder.path / "metrics.jsonl").chmod(0o600)
    folder.path.chmod(0o700)
    assert "not readable" in line_of(distill_without_rights(tmp_path, "runs", "--root", ".").stdout, "one")
    for arguments in (("report", "one", "--out", "/dev/null"), ("models", "one"), ("watch", "one")):
        done = distill_without_rights(tmp_path, *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "ermission denied" in done.stderr, arguments
    folder.path.chmod(0o755)
    assert everything(tmp_path) == before


@pytest.mark.usefixtures("two_users")
def test_a_deletion_that_is_not_permitted_deep_inside_removes_nothing(tmp_path: Path):
    folder = make_run(tmp_path, "one")
    fill(folder)
    give_away(folder.path / "models" / "pong")
    before = everything(tmp_path)
    done = distill_without_rights(tmp_path, "runs", "--root", ".", "--delete", "one")
    assert done.returncode == 2 and "nothing is deleted" in done.stderr and "models/pong" in done.stderr
    assert everything(tmp_path) == before


DAMAGE = (
    b'{"updates": 5, "sco', b"null\n", b"[1]\n", b"7\n", b"\xff\xfe\n", b'{"score": NaN, "updates": NaN}\n',
    b'{"score": "x", "updates": {}}\n', b"[" * 100_000 + b"\n", b"1" * 20_000_000 + b"\n", b"\n", b"{}\n",
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: repr(damage[:12]))
def test_a_damaged_line_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes):
    folder = make_run(tmp_path, "one")
    for file, row in (("metrics.jsonl", {"updates": 1234}), ("evaluations.jsonl", {"score": 0.5, "version": 1})):
        folder.append(file, row)
        with (folder.path / file).open("ab") as lines:
            lines.write(damage)
        folder.append(file, row | {"updates": 2345, "score": 0.75})
    with (folder.path / "sittings.jsonl").open("ab") as lines:
        lines.write(damage)
    assert distill("--root", str(tmp_path)) == 0
    line = line_of(capsys.readouterr().out, "one")
    assert "2,345" in line and "0.75" in line
    assert len([row for row in folder.rows("metrics.jsonl") if row.get("updates") in (1234, 2345)]) == 2
    assert folder.next_sitting() == 1, "no number comes twice"
    for arguments in (["report", str(folder.path), "--out", str(tmp_path / "x.html")], ["models", str(folder.path)]):
        assert cli.run(arguments) == 0
    StateReader(folder.path).document()


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
