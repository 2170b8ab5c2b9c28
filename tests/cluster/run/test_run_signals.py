"""ctrl-C and SIGTERM: one saves and stops, two stop now; the run goes on afterwards."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.sandbox import (
    TEACHERS,
    UNTRAINED,
    Distill,
    Sandbox,
    checkpointed,
    new_sandbox,
    processes,
    rows,
    until,
    updates,
)

OPTIONS = ("--games", "breakout", "--updates", "1000000", *UNTRAINED)
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


def test_a_run_on_ray_stops_and_goes_on_without_ray(sandbox: Sandbox):
    folder = sandbox.run("run")
    # No checkpoint is due before the signal asks for one.
    run = sandbox.train("run", *OPTIONS, "--checkpoint-seconds", "600")
    run.until(lambda: updates(folder) > 20, "updates")
    assert checkpointed(folder) == 0
    # To the whole group, as `timeout` does it, and ctrl-C: Ray's daemons must not hear it before the learner has saved.
    assert [pid for pid in processes(sandbox.path) if os.getpgid(pid) == run.pid] == [run.pid]
    saved = stop(run, sandbox, signal.SIGTERM, group=True)
    assert saved > 20

    run = sandbox.resume("run", "--serial")
    run.until(lambda: updates(folder) > saved, "newer updates")
    assert stop(run, sandbox, signal.SIGINT, group=True) > saved
    metrics = [row["updates"] for row in rows(folder, "metrics.jsonl")]
    assert metrics == sorted(metrics), "no update is made again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(sandbox: Sandbox, number: int):
    run = sandbox.train("run", "--serial", *OPTIONS, "--checkpoint-seconds", "0.1")
    run.until(lambda: checkpointed(sandbox.run("run")) > 0, "a checkpoint")
    # A Redis that does not answer keeps the run from ending by itself.
    server = sandbox.redis_server("run")
    os.kill(server, signal.SIGSTOP)
    run.signal(number)
    run.until(lambda: "stopping: saving" in run.output, "the first one is heard", 10.0)
    run.signal(number)
    assert run.wait(2.0) == 128 + number
    assert "stopping now" in run.output
    os.kill(server, signal.SIGCONT)
    until(lambda: not processes(sandbox.path), "its Redis ends, too", 10.0)


def test_ctrl_c_ends_an_evaluation_and_leaves_nothing(sandbox: Sandbox):
    run = sandbox.start("evaluate", str(TEACHERS / "pong.safetensors"), "--episodes", "1000")
    run.until(lambda: run.actors("Evaluator", "advance"), "it plays")
    run.signal(signal.SIGINT, group=True)
    assert run.wait() == 130
    assert run.output.endswith("distill evaluate: interrupted\n")
    assert "Traceback" not in run.output
    assert sandbox.leftovers() == []
