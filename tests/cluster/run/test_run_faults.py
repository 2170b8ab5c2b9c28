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

TWO_LEARNERS = ("--learners", "2", "--shards", "2", "--actors", "2")
# Collectors wait for the learner most of the time, and leave the cores to those who take over.
PATIENT = ("--sample-to-insert", "32", "--backlog", "1000")
OPTIONS = ("--games", GAME, "--updates", "1000000", *UNTRAINED, *PATIENT, "--checkpoint-seconds", "0.5")


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


def stored_chunks(folder: Path, shards: int) -> dict[str, list[StoredChunk]]:
    """Return by producer id what the run's own Redis has kept."""
    by_producer: dict[str, list[StoredChunk]] = defaultdict(list)
    with PrivateRedis(folder / "redis") as server:
        reader = RedisChunkReader([connect(server.url)], "run", [GAME], shards=range(shards))
        while chunks := reader.read(GAME, 64):
            for chunk in chunks:
                by_producer[chunk.producer_id].append(chunk)
        reader.close()
    return by_producer


def assert_balanced(folder: Path, updates: int, producers: int, shards: int = 1) -> None:
    """Check that the newest checkpoint, which is of that update, counts every chunk that it covers once."""
    saved, consumed, inserted = newest_state(folder)
    assert saved == updates
    by_producer = stored_chunks(folder, shards)
    assert len(by_producer) == producers
    for producer_id, chunks in by_producer.items():
        assert [chunk.sequence for chunk in chunks] == list(range(len(chunks))), "none is missing, none there twice"
        assert consumed.get(producer_id, -1) < len(chunks)
    assert inserted == sum(
        chunk.steps
        for producer_id, chunks in by_producer.items()
        for chunk in chunks
        if chunk.sequence <= consumed.get(producer_id, -1)
    )


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

    assert_balanced(folder, saved + 300, producers=3)  # the first collector, its replacement, and the resumed run's


def test_two_learners_bear_the_death_of_each(sandbox: Sandbox):
    run, folder = sandbox.train("run", *OPTIONS, *TWO_LEARNERS), sandbox.run("run")
    run.until(lambda: checkpointed(folder) > 20, "a checkpoint")
    collectors = run.actors("Collector").keys()
    for role in ("FurtherRank", "Learner"):
        at, before = checkpointed(folder), run.actors("Learner") | run.actors("FurtherRank")
        assert len(before) == 2
        kill(run.actors(role))
        run.until(lambda at=at: checkpointed(folder) > at + 20, f"updates after the {role}'s death")
        assert not before.keys() & (run.actors("Learner") | run.actors("FurtherRank")).keys(), "the group is a new one"
    assert run.actors("Collector").keys() == collectors, "the others never stop"
    assert run.output.count("is replaced") == 2, run.output

    run.signal(signal.SIGTERM)
    assert run.wait() == 0, run.output
    saved = newest_state(folder)[0]
    more = sandbox.resume("run", "--updates", str(saved + 200), "--learners", "1")
    assert more.wait(2 * START_SECONDS) == 0, more.output
    assert sandbox.leftovers() == []
    assert_balanced(folder, saved + 200, producers=4, shards=2)
    learner = rows(folder, "metrics.jsonl")[-1]["learners"]["student"]
    assert not any(learner["rejected_chunks"].values())
