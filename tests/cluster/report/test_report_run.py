"""A report of a real run: what the run wrote is what the report understands."""

from collections.abc import Iterator

import pytest

from cluster.analysis.run_data import read_runs
from cluster.report.page import document
from tests.support.sandbox import Sandbox, new_sandbox

GAME = "breakout"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.timeout(300)
def test_a_real_run_is_reported_without_a_remark(sandbox: Sandbox):
    sandbox.train_here(
        "run", "--serial", "--games", GAME, "--updates", "60", "--eval-every", "30", "--final-episodes", "2", "--video"
    )
    (run,) = read_runs([sandbox.run("run")])
    assert run.notes == []
    assert run.state == "finished"
    assert run.metrics[-1].learners["student"].updates == 60
    assert {look.updates for look in run.looks} == {30, 60}
    assert len(run.final["student", GAME].scores) == 2
    assert [path.name for path in run.videos] == [f"{GAME}.mp4"]
    text = document([run], 10_000_000)
    for shown in ("2 versions of the student were evaluated", "data:video/mp4;base64,", "Collecting actors, seconds"):
        assert shown in text
