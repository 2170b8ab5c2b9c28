"""A whole run on Ray beside the user's own Ray and Redis."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from safetensors.torch import load_file

from cluster.redis.private_server import PrivateRedis
from distill.student import load_student
from tests.support.sandbox import END_SECONDS, UNTRAINED, Distill, Sandbox, new_sandbox, processes, rows, until

pytestmark = pytest.mark.timeout(300)

USERS_RAY = """
import sys, ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])

@ray.remote
class Counter:
    def __init__(self): self.count = 0
    def add(self): self.count += 1; return self.count

counter = Counter.remote()
for _ in sys.stdin:
    print(ray.get(counter.add.remote()), flush=True)
"""


@dataclass
class Finished:
    sandbox: Sandbox
    folder: Path
    output: str
    pids: dict[str, set[int]]
    counts: list[str]
    daemons: list[str]


def at_work(run: Distill, kind: str, count: int) -> set[int]:
    """Return the process ids of a kind's workers once there are so many."""
    pids = set(run.actors(kind))
    return pids if len(pids) == count else set()


@pytest.fixture(scope="module")
def finished(one_redis_server: PrivateRedis) -> Iterator[Finished]:
    """A run that has ended, while a Ray and a Redis of the user were running."""
    with new_sandbox() as sandbox, new_sandbox() as user, redis.Redis.from_url(one_redis_server.url) as client:
        client.set("distill:{other:pong:0}:meta", "the user's own")
        with subprocess.Popen(
            [sys.executable, "-c", USERS_RAY, str(user.path / "ray")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=user.path,
            env={"HOME": str(user.home), "RAY_AUTH_MODE": "disabled", "PATH": "/usr/bin:/bin"},
        ) as users_ray:
            assert users_ray.stdin is not None and users_ray.stdout is not None
            # Were it heeded, the run would not find a Ray there.
            sandbox.environment["RAY_ADDRESS"] = "127.0.0.1:1"
            run = sandbox.train("both", "--updates", "400", *UNTRAINED)
            users_ray.stdin.write("\n")
            users_ray.stdin.flush()
            counts = [users_ray.stdout.readline().strip()]
            pids = {
                kind: run.until(lambda kind=kind, count=count: at_work(run, kind, count), f"{count} {kind}")
                for kind, count in (("Collector", 2), ("Learner", 1), ("Evaluator", 1), ("Coordinator", 1))
            }
            pids["driver"] = {run.pid}
            daemons = [command for command in processes(sandbox.path).values() if "/ray/" in command]
            assert run.wait() == 0, run.output
            assert all(pid in processes(user.path) for pid in [users_ray.pid])
            users_ray.stdin.write("\n")
            users_ray.stdin.flush()
            counts.append(users_ray.stdout.readline().strip())
            users_ray.stdin.close()
            users_ray.wait(END_SECONDS)
        assert client.get("distill:{other:pong:0}:meta") == b"the user's own"
        assert not list(client.scan_iter("distill:{both*"))
        yield Finished(sandbox, sandbox.run("both"), run.output, pids, counts, daemons)


def test_collectors_learner_and_evaluator_are_processes_of_their_own(finished: Finished):
    pids = [pid for group in finished.pids.values() for pid in group]
    assert len(pids) == len(set(pids)) == 6


def test_ray_starts_no_daemon_that_nobody_needs(finished: Finished):
    assert any("/raylet " in command for command in finished.daemons)
    useless = ("/monitor.py", "/log_monitor.py", "/dashboard.py")
    assert [command for command in finished.daemons if any(name in command for name in useless)] == []


def test_a_run_on_ray_leaves_what_a_serial_run_leaves(finished: Finished):
    folder = finished.folder
    files = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {
        "config.yaml", "environment.json", "metrics.jsonl", "evaluations.jsonl", "checkpoints/student/manifest.json",
        "checkpoints/student/checkpoint-0000000400.safetensors", "models/student/1.safetensors", "student.safetensors",
        "learning_curve.png",
    } <= files  # fmt: skip
    last = rows(folder, "metrics.jsonl")[-1]
    learner = last["learners"]["student"]
    assert learner["updates"] == 400
    assert set(last["collectors"]) == {"breakout-0", "pong-0"}
    assert min(learner["inserted_transitions"].values()) >= 256
    assert load_student(folder / "student.safetensors").games == ("breakout", "pong")


def test_the_student_is_the_best_version_that_was_published(finished: Finished):
    names = json.loads((finished.folder / "models" / "student" / "names.json").read_text())
    assert names == {"best": 1, "candidate": 1, "latest": 1, "production": 1}
    student = load_file(finished.folder / "student.safetensors")
    published = load_file(finished.folder / "models" / "student" / "1.safetensors")
    assert all((student[name] == published[name]).all() for name in published)


def test_the_users_ray_is_untouched(finished: Finished):
    assert finished.counts == ["1", "2"], "its actor has kept its state"


def test_nothing_is_left_behind(finished: Finished):
    until(lambda: not finished.sandbox.leftovers(), f"these are gone: {finished.sandbox.leftovers()}", 5.0)
