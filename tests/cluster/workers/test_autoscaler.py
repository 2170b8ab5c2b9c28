"""An autoscaler that adds and removes nodes as `distill scale-actors` asks."""

import pytest

from cluster.redis.private_server import PrivateRedis
from tests.support.autoscaled_ray import autoscaled_ray
from tests.support.sandbox import new_sandbox, until
from tests.support.scaled_runs import ENDLESS, scale, until_delivering

pytestmark = pytest.mark.timeout(600)

NODE_SECONDS = 120.0


def test_nodes_come_for_actors_that_are_wanted_and_go_when_they_are_idle(one_redis_server: PrivateRedis, run_name: str):
    with new_sandbox() as sandbox, autoscaled_ray(sandbox, places=2, added=1) as cluster:
        folder = sandbox.run(run_name)
        buffer = ("--address", cluster.address, "--buffer", one_redis_server.url)
        run = sandbox.train(run_name, "--games", "breakout", *ENDLESS, *buffer)
        until_delivering(run, folder, {"breakout-0"})
        # The evaluator has the head's other place.
        assert cluster.nodes() == 1
        scale(sandbox, folder, "breakout=4")
        until_delivering(run, folder, {"breakout-0", "breakout-1", "breakout-2"})
        assert cluster.nodes() == 2
        short = "breakout: 4 actors are wanted, 3 have a place on the Ray cluster; 1 start when nodes join"
        run.until(lambda: short in (folder / "run.log").read_text(), "one has no place, and nobody waits for it")
        scale(sandbox, folder, "breakout=1")
        run.until(lambda: cluster.nodes() == 1, "the node that was added is idle and goes", NODE_SECONDS)
        scale(sandbox, folder, "breakout=2")
        until_delivering(run, folder, {"breakout-0", "breakout-1"})
        assert cluster.nodes() == 2
        run.kill_group()
        until(lambda: cluster.nodes() == 1, "a killed run holds no node", NODE_SECONDS)
