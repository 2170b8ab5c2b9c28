"""Runs on a Ray that is there already, and what they ask of it."""

from collections.abc import Iterator

import pytest
import ray

from cluster.ray.cluster import RayCluster
from cluster.workers.placement import place
from distill.config import BufferConfig, TrainingConfig
from distill.errors import ConfigError, RunError
from tests.support.sandbox import UNTRAINED, Sandbox, new_sandbox, rows

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


def test_a_run_uses_a_ray_that_is_there_and_leaves_it_alone(own_ray: None, sandbox: Sandbox):
    address = ray.get_runtime_context().gcs_address
    options = ("--games", "breakout", "--updates", "300", *UNTRAINED, "--address", address)
    run = sandbox.train("run", *options)
    assert run.wait(120.0) == 0, run.output
    assert rows(sandbox.run("run"), "metrics.jsonl")[-1]["updates"] == 300
    assert sandbox.leftovers() == []
    assert ray.cluster_resources()["CPU"] == 2.0, "the cluster goes on"


def test_a_ray_that_is_not_there_is_an_error_at_once(sandbox: Sandbox):
    run = sandbox.train("run", "--games", "breakout", "--address", "127.0.0.1:1")
    assert run.wait(120.0) == 2
    assert "ray at 127.0.0.1:1: cannot connect" in run.output
    assert "Traceback" not in run.output


def test_a_shortage_is_said_with_what_there_is():
    cluster = RayCluster(8, 3, {"CPU": 8.0, "GPU": 1.0, "distill_learner": 1.0, "distill_actor": 4.0})
    cluster.require(learners=1, others=4, device="auto")
    with pytest.raises(RunError, match=r"asks for 6 distill_actor, it has 4; add nodes, or lower --actors"):
        cluster.require(learners=1, others=6, device="cpu")
    with pytest.raises(
        RunError, match="2 distill_learner, it has 1; 2 GPU, it has 1; add nodes, or have fewer learners"
    ):
        cluster.require(learners=2, others=1, device="cuda")


def test_learners_and_actors_ask_for_the_nodes_that_are_theirs():
    cluster = RayCluster(8, 3, {"CPU": 8.0, "GPU": 1.0, "distill_learner": 1.0, "distill_actor": 4.0})
    placement = place(3, 1, TrainingConfig(), cluster)
    assert placement.learner["resources"] == {"distill_learner": 1.0}
    assert placement.learner["num_gpus"] == 1.0
    assert placement.learner_threads == 5
    assert placement.actor["resources"] == {"distill_actor": 1.0}
    assert cluster.evaluators == 4
    assert placement.actor["num_cpus"] == placement.learner["num_cpus"] == 0.0, "nodes of one core take several actors"
    plain = place(3, 1, TrainingConfig(device="cpu"), RayCluster(2))
    assert plain.learner["resources"] == plain.actor["resources"] == {}
    assert "num_gpus" not in plain.learner
    assert 4 * plain.actor["num_cpus"] <= 2.0, "nobody pends"
    assert plain.learner_threads == 1
    assert RayCluster(2).evaluators == 2


@pytest.mark.parametrize("hosts, processes", [((1, 1, 1), 4), ((2, 1), 5), ((8, 1, 1), 17), ((3, 3, 3, 3), 13)])
def test_everybody_has_a_place_however_the_cores_are_divided_among_hosts(hosts: tuple[int, ...], processes: int):
    cluster = RayCluster(sum(hosts), len(hosts), {"CPU": float(sum(hosts))})
    placement = place(processes - 1, 1, TrainingConfig(device="cpu"), cluster)
    share = placement.actor["num_cpus"]
    assert placement.learner["num_cpus"] == share > 0.0
    assert sum(int(cores / share) for cores in hosts) >= processes


def test_several_hosts_need_a_redis_that_all_reach():
    RayCluster(2, 1).require_reachable(BufferConfig())
    RayCluster(2, 3).require_reachable(BufferConfig(buffer="redis://10.0.0.1:6379"))
    with pytest.raises(ConfigError, match="has 3 hosts, so --buffer must name a Redis"):
        RayCluster(2, 3).require_reachable(BufferConfig())
