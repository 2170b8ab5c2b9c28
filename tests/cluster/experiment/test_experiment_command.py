"""`distill experiment` as a process: killed, gone on with, and asked again; and what it refuses."""

from collections import Counter
from collections.abc import Iterator

import pytest

from cluster import cli
from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.folder import ExperimentFolder
from tests.support.sandbox import TEACHERS, Sandbox, new_sandbox, rows

SECONDS = 110.0
WORDS = (
    "experiment", "losses", "--games", "breakout", "--seeds", "1", "--budget", "256", "10", "--episodes", "1",
    "--teachers", str(TEACHERS / "breakout.safetensors"),
)  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.timeout(240)
def test_a_killed_experiment_goes_on_and_runs_no_finished_cell_again(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
):
    folder = ExperimentFolder(sandbox.path / "results" / "losses")
    first = sandbox.start(*WORDS)
    first.until(lambda: rows(folder.path, "scores.jsonl"), "a cell is done", SECONDS)
    first.kill_group()
    before = folder.scores.read_bytes()
    again = sandbox.distill(*WORDS, seconds=SECONDS)
    assert again.code == 0, again.output
    assert folder.scores.read_bytes().startswith(before)
    counts = Counter((row["cell"], row["player"]) for row in rows(folder.path, "scores.jsonl"))
    cells = {f"{loss}-breakout-1" for loss in ("kl", "nll", "mse")}
    assert counts == Counter((cell, player) for cell in cells for player in ("student", "teacher"))
    for file in (folder.table, folder.picture, folder.page):
        assert file.exists()
    for word in ("done:", "failed"):
        assert (word in again.output) == (word == "done:")
    assert cli.run((*WORDS, "--out", str(folder.path.parent), "--dry-run")) == 0
    assert "every cell is there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, told",
    [
        (("experiment",), "name one of losses, temperature"),
        (("experiment", "losses", "--readme", "README.md"), "it goes with --render"),
        (("experiment", "transfer", "--games", "pong", "--teachers", str(TEACHERS)), "needs at least 2"),
        (("experiment", "losses", "--games", "tennis", "--teachers", str(TEACHERS)), "no teacher for tennis"),
        (("experiment", "losses", "--budget", "0", "5"), "budget"),
        (("experiment", "losses", "--seeds", "0"), "seeds: expected at least 1"),
    ],
    ids=lambda words: " ".join(words[1:4]) if isinstance(words, tuple) else None,
)
def test_wrong_words_are_refused_in_one_sentence(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]):
    assert cli.run(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_all_experiments_can_be_named():
    from typing import get_args

    from cluster.commands.experiment import Name

    assert get_args(Name) == tuple(EXPERIMENTS)
