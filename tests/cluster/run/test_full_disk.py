"""A run on a full disk goes on where it can, tells what is refused, and ends with one sentence where it cannot."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import cli
from cluster.monitor.trackers.tensorboard import TensorBoard
from cluster.monitor.trackers.tracker import Tracked
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.run import surroundings
from cluster.state.folder import RunFolder
from distill.errors import RunError
from learner import trainer
from learner.checkpoints import newest_checkpoint
from tests.support.sandbox import TINY, UNTRAINED, Sandbox, checkpointed, new_sandbox, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without the right to mount a small disk")
SERIAL = (*TINY, *UNTRAINED, "--serial", "--games", "pong")


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """With a disk for its runs, of 24 MB if the test does not say another size."""
    size = getattr(request, "param", "24m")
    with new_sandbox() as made:
        disk = made.path / "runs"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode:
            pytest.skip("without the right to mount a small disk")
        try:
            yield made
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte; return the file that does."""
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


def test_a_run_bears_a_full_disk_until_there_is_room_again(sandbox: Sandbox):
    folder = sandbox.run("x")
    options = ("--updates", "1000000", "--checkpoint-seconds", "0.2", "--eval-every", "100")
    with PrivateRedis(sandbox.path / "redis") as server:
        run = sandbox.train("x", *SERIAL, *options, "--buffer", server.url)
        run.until(lambda: checkpointed(folder) > 20, "a checkpoint")
        filler = fill(sandbox.path / "runs")
        run.until(lambda: "checkpoint: student: No space left on device; make room on that disk" in run.output, "it")
        kept = checkpointed(folder)
        run.until(lambda: "models/student" in run.output, "a version that is refused")
        filler.unlink()
        run.until(lambda: "checkpoint: written again" in run.output, "another checkpoint")
        run.until(lambda: checkpointed(folder) > kept, "a newer one")
        run.signal(signal.SIGINT)
        assert run.wait() == 0, run.output
    assert newest_checkpoint(folder / "checkpoints" / "student") == (checkpointed(folder), [])
    assert run.output.count("checkpoint: student: No space left") == 1 and "Traceback" not in run.output
    assert json.loads((folder / "progress.json").read_text())["student"]["newest"] == checkpointed(folder)


def test_a_run_that_is_stopped_on_a_full_disk_says_what_is_not_saved(sandbox: Sandbox):
    with PrivateRedis(sandbox.path / "redis") as server:
        run = sandbox.train("x", *SERIAL, "--updates", "1000000", "--checkpoint-seconds", "1", "--buffer", server.url)
        run.until(lambda: checkpointed(sandbox.run("x")) > 20, "a checkpoint")
        fill(sandbox.path / "runs")
        run.until(lambda: "checkpoint: student: No space left" in run.output, "a refusal")
        run.signal(signal.SIGINT)
        assert run.wait() == 2
    message = run.output.splitlines()[-1]
    assert message.startswith("distill run: run x: updates ")
    assert "of student are not saved: No space left on device; make room on that disk; kept is the chec" in message
    assert "Traceback" not in run.output


@pytest.mark.parametrize("sandbox", ["6m"], indirect=True)
def test_a_disk_that_stays_full_ends_a_run_with_one_sentence(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trainer, "REFUSED_SECONDS", 1.0)
    monkeypatch.setattr(surroundings, "REFUSED_SECONDS", 1.0)
    options = ("--student", "net1", "--checkpoint-seconds", "0.2", "--updates", "100000")
    assert cli.run(["run", *SERIAL, *options, "--root", str(sandbox.path / "runs"), "--name", "x"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in message and "kept is the checkpoint of update" in message
    assert "--resume" in message
    folder = RunFolder(sandbox.run("x"))
    assert newest_checkpoint(folder.checkpoints("student"))[0] == folder.checkpointed()


def test_the_runs_own_redis_says_in_one_sentence_that_its_disk_is_full(sandbox: Sandbox):
    disk = sandbox.path / "runs"
    with PrivateRedis(disk / "redis") as server:
        assert server.refused() is None
        filler = fill(disk)
        client = connect(server.url)
        with pytest.raises(Exception, match="MISCONF"):
            for number in range(10_000):
                client.set(f"key{number}", bytes(4096))
        why = until(server.refused, "it knows")
        assert why == (
            f"redis-server in {disk / 'redis'}: it cannot write its append-only file: No space left on device; make"
            " room on that disk"
        )
        filler.unlink()
        until(lambda: server.refused() is None, "it writes again")
    filler = fill(disk)
    with pytest.raises(RunError, match=r"No space left on device; make room on that disk$") as raised:
        PrivateRedis(disk / "other").start()
    assert "\n" not in str(raised.value)
    filler.unlink()


def test_tensorboard_begins_a_new_file_once_there_is_room(sandbox: Sandbox):
    disk = sandbox.path / "runs"
    board = TensorBoard(Tracked(disk, "run", "", {}))
    board.write(1, {"loss": 0.5})
    filler = fill(disk)
    with pytest.raises(OSError, match="No space left"):
        for updates in range(100_000):
            board.write(updates, {"loss": 0.5})
    filler.unlink()
    board.write(7, {"loss": 0.25})
    board.close()
    assert len(list(disk.glob("tensorboard/events.out.*"))) == 2
