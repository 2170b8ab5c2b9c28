"""A resume that finds less than was written says so and refuses, unless it is told to go on."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import cli
from cluster.models.lineage import Lineage
from cluster.run.resumable import require_checkpoints
from cluster.state.folder import RunFolder
from cluster.state.progress import FILE
from distill.errors import RunError
from tests.support.sandbox import TINY, UNTRAINED, Sandbox, checkpointed, new_sandbox, rows

Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]
STUDENT = (Lineage("student", ("pong",), "student", ("best",)),)


@pytest.fixture(scope="module")
def trained() -> Iterator[Sandbox]:
    """Of a run with checkpoints at updates 30, 60 and 90, each of which published a version."""
    with new_sandbox() as made:
        made.train_here("x", *TINY, *UNTRAINED, "--serial", "--games", "pong", "--eval-every", "30", "--updates", "90")
        yield made


@pytest.fixture
def run(trained: Sandbox, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained.run("x"), tmp_path / "runs" / "x", ignore=shutil.ignore_patterns("server.*")))


def resume(run: Path, *options: str) -> int:
    return cli.run(["run", "--resume", str(run), "--updates", "100", *options])


def checkpoint(run: Path, updates: int) -> Path:
    return run / "checkpoints" / "student" / f"checkpoint-{updates:010d}.safetensors"


def remove_all(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def remove_files(run: Path) -> None:
    for path in run.glob("checkpoints/student/*.safetensors"):
        path.unlink()


def remove_two(run: Path) -> None:
    for updates in (60, 90):
        checkpoint(run, updates).unlink()


def damage_all(run: Path) -> None:
    for path in run.glob("checkpoints/student/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")


def forget(run: Path) -> None:
    (run / FILE).unlink()


@pytest.mark.parametrize(
    "lose, found",
    [
        ([remove_all], "found none in"),
        ([remove_files], "found none in"),
        ([damage_all], "found none in .*, and 3 damaged"),
        ([remove_all, forget], "found none in"),
        ([damage_all, forget], "found none in .*, and 3 damaged"),
        ([remove_two], "found that of update 30 in"),
    ],
)
def test_what_is_lost_is_named_and_nothing_is_begun(
    run: Path, capsys: Capture, lose: list[Callable[[Path], None]], found: str
):
    for step in lose:
        step(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert resume(run) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("distill run: run x: student: expected the checkpoint of update 90, found ")
    with pytest.raises(RunError, match=f"{found}.*; put the files back, or go on from .* with --accept-loss"):
        require_checkpoints(RunFolder(run), STUDENT, accept_loss=False)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {"run.lock", ".lock"}


def test_a_run_that_is_told_to_goes_on_from_what_is_left(run: Path, caplog: Log):
    damage_all(run)
    assert resume(run, "--accept-loss") == 0
    assert "it goes on from the beginning, as it was told" in caplog.text
    assert checkpointed(run) == 100
    assert rows(run, "metrics.jsonl")[-1]["updates"] == 100
    assert len(list(run.glob("checkpoints/student/*.damaged"))) == 3
    # From then on that is the truth.
    assert json.loads((run / FILE).read_text())["student"]["newest"] == 100
    require_checkpoints(RunFolder(run), STUDENT, accept_loss=False)


def test_the_newest_one_alone_is_no_more_than_a_crash_costs(run: Path, caplog: Log):
    newest = checkpoint(run, 90)
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x7f")
    (run / "checkpoints" / "student" / "manifest.json").unlink()
    assert resume(run) == 0
    told = caplog.text
    assert "no longer there" not in told
    assert f"checkpoint {newest} is damaged" in told
    assert "manifest.json is gone; it is written again from the 3 checkpoints beside it" in told
    assert "expected the checkpoint of update 90, found that of update 60" in told
    assert checkpointed(run) == 100


def test_only_a_resumed_run_can_have_lost_anything(capsys: Capture):
    assert cli.run(["run", "--accept-loss"]) == 2
    assert "--accept-loss: only a run that is resumed" in capsys.readouterr().err
