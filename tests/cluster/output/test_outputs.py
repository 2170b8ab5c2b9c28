"""What `distill` writes for the user lands where it is told, and what took long to find out is never lost."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from cluster import cli
from distill.model_card import read_card

PONG = Path(__file__).resolve().parents[3] / "teachers" / "pong.safetensors"
QUICK = ("--serial", "--episodes", "1", "--lanes", "1", "--epsilon", "1")


def test_a_card_is_written_through_a_link_and_scores_that_do_not_fit_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "models").mkdir()
    model, link = tmp_path / "models" / "pong.safetensors", tmp_path / "link.safetensors"
    shutil.copyfile(PONG, model)
    model.chmod(0o600)
    link.symlink_to(model)
    assert cli.run(["evaluate", str(link), *QUICK, "--write-card"]) == 0
    assert link.is_symlink() and stat.S_IMODE(model.stat().st_mode) == 0o600
    assert read_card(model).scores["pong"]["episodes"] == 1
    capsys.readouterr()
    assert cli.run(["evaluate", str(link), *QUICK, "--out", "/dev/full"]) == 2
    printed = capsys.readouterr()
    assert "/dev/full cannot be written: No space left on device; what belongs into it is printed above" in printed.err
    (evaluation,) = json.loads(printed.out[printed.out.index("[\n") :])
    assert evaluation["game"] == "pong" and len(evaluation["scores"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", str(PONG), *QUICK, "--out", "FILE"),
        ("bench", "--only", "learner", "--teachers", str(PONG), "--out", "FILE"),
        ("export", str(PONG), "FILE"),
        ("import-teacher", "missing.zip", "--game", "pong", "--overwrite", "--out", "FILE"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_of_the_users_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
):
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    assert cli.run([str(thesis) if part == "FILE" else part for part in arguments]) == 2
    message = capsys.readouterr().err
    assert "found something else, which is left alone" in message and message.count("\n") == 1
    assert thesis.read_text() == "years of work" and list(tmp_path.iterdir()) == [thesis]


def test_what_was_written_before_is_replaced(tmp_path: Path):
    out = tmp_path / "out"
    for _ in range(2):
        assert cli.run(["evaluate", str(PONG), *QUICK, "--out", str(out)]) == 0
    out.unlink()
    for _ in range(2):
        assert cli.run(["export", str(PONG), str(out)]) == 0
