"""Processes of a run are killed: it goes on, loses nothing, counts nothing twice, and leaves no orphan."""

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from cluster.buffer.reader import RedisChunkReader
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from distill.protocols import StoredChunk
from tests.support.sandbox import START_SECONDS, UNTRAINED, Sandbox, checkpointed, new_sandbox, processes, rows, until

GAME = "breakout"
pytestmark = pytest.mark.timeout(300)

OPTIONS = ("--games", GAME, "--updates", "1000000", *UNTRAINED, "--checkpoint-seconds", "0.5")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


def kill(pids: dict[int, str]) -> int:
    """Kill one process the hard way and return its id."""
    (pid,) = pids
    os.kill(pid, signal.SIGKILL)
    return pid


def newest_state(folder: Path) -> tuple[int, dict[str, int], int]:
    """Return updates, consumed sequence numbers by producer id, and inserted transitions of the newest checkpoint."""
    file = folder / "checkpoints" / "student" / f"checkpoint-{checkpointed(folder):010d}.safetensors"
    with safe_open(file, framework="pt") as checkpoint:
        state = json.loads(checkpoint.metadata()["state"])
    return state["updates"], state["feed"]["consumed"], state["feed"]["inserted"][GAME]


def stored_chunks(folder: Path) -> dict[str, list[StoredChunk]]:
    """Return by producer id what the run's own Redis has kept."""
    by_producer: dict[str, list[StoredChunk]] = defaultdict(list)
    with PrivateRedis(folder / "redis") as server:
        reader = RedisChunkReader([connect(server.url)], "run", [GAME])
        while chunks := reader.read(GAME, 64):
            for chunk in chunks:
                by_producer[chunk.producer_id].append(chunk)
        reader.close()
    return by_producer


def test_a_run_bears_the_death_of_each_of_its_processes(sandbox: Sandbox):
    run, folder = sandbox.train("run", *OPTIONS), sandbox.run("run")
    run.until(lambda: checkpointed(folder) > 20, "a checkpoint")

    collector = kill(run.actors("Collector"))
    replaced = run.until(lambda: run.actors("Collector").keys() - {collector}, "another collector", 30.0)
    at = checkpointed(folder)
    run.until(lambda: checkpointed(folder) > at, "updates after the collector's death")

    at = checkpointed(folder)
    learner = kill(run.actors("Learner"))
    run.until(lambda: run.actors("Learner").keys() - {learner}, "another learner", 30.0)
    run.until(lambda: checkpointed(folder) > at + 20, "updates after the learner's death")
    assert run.actors("Collector").keys() == replaced, "the others never stop"

    at, server = checkpointed(folder), sandbox.redis_server("run")
    os.kill(server, signal.SIGKILL)
    run.until(lambda: sandbox.redis_server("run") != server, "another redis-server", 10.0)
    run.until(lambda: checkpointed(folder) > at + 200, "updates from data that came after the server's death")
    assert run.actors("Collector").keys() == replaced

    # The driver and all of its process group, as when a terminal is torn down.
    assert run.output.count("is replaced") == 2 and run.output.count("was started again") == 1, run.output
    at, killed_at = checkpointed(folder), time.time()
    run.kill_group()
    until(lambda: not processes(sandbox.path), "all processes are gone", 10.0)
    until(lambda: not list(sandbox.temporary.glob("distill-*/r")), "Ray's files are gone", 10.0)
    saved = newest_state(folder)[0]
    assert saved >= at

    more = sandbox.resume("run", "--updates", str(saved + 300))
    assert more.wait(2 * START_SECONDS) == 0, more.output
    assert sandbox.leftovers() == []
    metrics = [row for row in rows(folder, "metrics.jsonl") if row["time"] > killed_at]
    assert metrics[0]["updates"] >= saved, "it goes on where the checkpoint was"
    assert metrics[-1]["updates"] == saved + 300
    assert not any(metrics[-1]["learners"]["student"]["rejected_chunks"].values())

    updates, consumed, inserted = newest_state(folder)
    assert updates == saved + 300
    by_producer = stored_chunks(folder)
    assert len(by_producer) == 3, "of the first collector, its replacement, and the resumed run's"
    for producer_id, chunks in by_producer.items():
        assert [chunk.sequence for chunk in chunks] == list(range(len(chunks))), "none is missing, none there twice"
        assert consumed[producer_id] < len(chunks)
    assert inserted == sum(
        chunk.steps
        for producer_id, chunks in by_producer.items()
        for chunk in chunks
        if chunk.sequence <= consumed[producer_id]
    )
