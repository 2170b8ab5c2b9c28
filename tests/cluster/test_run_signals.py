"""ctrl-C and SIGTERM: one saves and stops, two stop now; the run goes on afterwards."""

import signal
import time
from collections.abc import Iterator

import pytest
from run_support import UNTRAINED, Distill, Sandbox, checkpointed, new_sandbox, rows

OPTIONS = ("--games", "breakout", "--updates", "1000000", *UNTRAINED, "--checkpoint-seconds", "0.5")
STOP_SECONDS = 15.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


def stop(run: Distill, sandbox: Sandbox, number: int, *, group: bool) -> int:
    """Stop a run that trains, and return the updates of its last checkpoint."""
    folder = sandbox.run("run")
    began = time.monotonic()
    run.signal(number, group=group)
    assert run.wait() == 0, run.output
    assert time.monotonic() - began < STOP_SECONDS
    assert f"distill run --resume {folder}" in run.output
    assert "Traceback" not in run.output, run.output
    assert sandbox.leftovers() == []
    assert checkpointed(folder) >= rows(folder, "metrics.jsonl")[-1]["updates"]
    return checkpointed(folder)


def stop_twice(run: Distill, number: int) -> None:
    run.signal(number)
    run.until(lambda: "stopping: saving" in run.output, "the first one is heard", 5.0)
    run.signal(number)
    assert run.wait(5.0) in (0, 128 + number), run.output


def test_a_run_on_ray_stops_and_goes_on_without_ray(sandbox: Sandbox):
    folder = sandbox.run("run")
    run = sandbox.train("run", *OPTIONS)
    run.until(lambda: checkpointed(folder) > 20, "a checkpoint")
    # To the whole group, as `timeout` does it, and ctrl-C: Ray's daemons must not hear it before the learner has saved.
    saved = stop(run, sandbox, signal.SIGTERM, group=True)
    assert saved > 20

    run = sandbox.resume("run", "--serial")
    run.until(lambda: checkpointed(folder) > saved, "a newer checkpoint")
    assert stop(run, sandbox, signal.SIGINT, group=True) > saved
    metrics = [row["updates"] for row in rows(folder, "metrics.jsonl")]
    assert metrics == sorted(metrics), "no update is made again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(sandbox: Sandbox, number: int):
    run = sandbox.train("run", "--serial", *OPTIONS)
    run.until(lambda: checkpointed(sandbox.run("run")) > 0, "a checkpoint")
    stop_twice(run, number)
