"""Actors that are added and retired while a run goes on, on its own Ray and on a cluster that grows."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster import cli
from cluster.ray.cluster import RayCluster
from cluster.redis.private_server import PrivateRedis
from cluster.state.folder import RunFolder
from cluster.state.session import Session
from cluster.workers import actor_pool
from cluster.workers.placement import place
from cluster.workers.supervisor import Supervisor, Worker, kill
from cluster.workers.wanted_actors import FILE, WantedActors
from distill.config import RunConfig, TrainingConfig
from distill.errors import ConfigError
from tests.support.sandbox import Sandbox, new_sandbox, rows, until
from tests.support.scaled_runs import ENDLESS, scale, until_collecting, until_delivering

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def counts(tmp_path: Path) -> WantedActors:
    return WantedActors(RunFolder(tmp_path), ("pong", "breakout"), 4, 2)


def test_what_was_asked_for_last_holds(counts: WantedActors, tmp_path: Path):
    assert counts.wanted() == {"pong": 4, "breakout": 4}
    counts.ask({"pong": 8})
    counts.ask({"breakout": 2})
    again = WantedActors(RunFolder(tmp_path), ("pong", "breakout"), 4, 2)
    assert counts.wanted() == again.wanted() == {"pong": 8, "breakout": 2}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"freeway": 2}, "game 'freeway': this run plays pong, breakout"),
        ({"pong": 1}, "actors of pong: expected 2 to 1024, found 1; a game's streams"),
        ({"pong": 1025}, "expected 2 to 1024, found 1025"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    counts: WantedActors, tmp_path: Path, asked: dict[str, int], message: str
):
    with pytest.raises(ConfigError, match=message):
        counts.ask(asked)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("text", ["", "[3]", '{"pong": "many"}', '{"pong": 3'])
def test_a_damaged_file_is_named(counts: WantedActors, tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"actors\.json|actors of pong"):
        counts.wanted()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("breakout",), "expected GAME=NUMBER, as in pong=8, found 'breakout'"),
        (("breakout=x",), "found 'breakout=x'"),
        (("breakout=-1",), "found 'breakout=-1'"),
        (("breakout=2", "breakout=3"), "each game once, found breakout=2 breakout=3"),
        (("breakout=2", "ALE/Breakout-v5=3"), "each game once, found breakout=2 ALE/Breakout-v5=3"),
        (("Breakout=2", "Joust-v5=2"), "game 'joust': it needs two players"),
        (("breakout=2",), "it is --serial, one process, which has no actors to add"),
    ],
)
def test_wrong_words_are_refused(
    small_run: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["scale-actors", str(small_run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_actors_come_and_go_while_a_run_goes_on(sandbox: Sandbox):
    folder = sandbox.run("run")
    run = sandbox.train("run", "--games", "breakout", *ENDLESS)
    until_collecting(run, folder, {"breakout-0"})
    assert "actors of run run: breakout 3, within seconds" in scale(sandbox, folder, "breakout=3")
    until_collecting(run, folder, {"breakout-0", "breakout-1", "breakout-2"})
    scale(sandbox, folder, "breakout=1")
    until_collecting(run, folder, {"breakout-0"})
    run.signal(signal.SIGINT)
    assert run.wait() == 0, run.output
    log = (folder / "run.log").read_text()
    assert "breakout: 3 actors are wanted, 1 were" in log
    assert "replaced" not in log, "nobody was taken for dead"
    assert rows(folder, "metrics.jsonl")[-1]["restarts"] == {}
    assert sandbox.leftovers() == []
    assert "breakout 3, once it is resumed" in scale(sandbox, folder, "breakout=3")
    run = sandbox.resume("run")
    run.until(lambda: len(run.actors("Collector")) == 3, "three collectors from the start", 90.0)
    run.signal(signal.SIGINT)
    assert run.wait() == 0, run.output


@ray.remote(num_cpus=0)
class Player:
    """Tells how often its name was started before, and leaves two chunks behind."""

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation

    def play(self) -> int:
        return self._incarnation

    def finish(self, timeout: float) -> int:
        del timeout
        return 2


def test_an_actor_that_comes_back_begins_another_life(own_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(actor_pool, "LOOK_SECONDS", 0.0)
    session = Session(RunFolder(tmp_path), RunConfig(), services=None)
    supervisor = Supervisor(lambda worker, reason: pytest.fail(reason))
    counts = WantedActors(session.folder, ("pong",), 2, 1)

    def make(game: str, index: int, options: Mapping[str, Any]) -> Worker:
        return Worker(
            f"{game}-{index}", "player", Player.options(**options).remote, lambda handle: handle.play.remote()
        )

    placement = place(3, 1, TrainingConfig(), RayCluster(2))
    players = actor_pool.ActorPool(supervisor, "player", session, counts, placement, make)
    incarnations: dict[str, int] = {}

    def turn() -> dict[str, tuple[int, int]]:
        players.adjust()
        incarnations.update((worker.name, answer) for worker, answer in supervisor.poll(0.1))
        return players.counts()

    players.start()
    until(lambda: turn() and incarnations == {"pong-0": 0, "pong-1": 0}, "both play")
    counts.ask({"pong": 1})
    until(lambda: turn() == {"player": (1, 1)} and "retired" in session.messages[-1], "one is retired")
    assert session.messages[-1] == "pong-1 is retired; 2 of its chunks were not pushed: the buffer was full or away"
    assert session.take_replaced() == ["pong-1"], "its gauges go"
    counts.ask({"pong": 2})
    until(lambda: turn() and incarnations == {"pong-0": 0, "pong-1": 1}, "it is back as another incarnation")
    for handle in supervisor.handles("player"):
        kill(handle)


def test_nodes_that_join_a_cluster_are_used(sandbox: Sandbox, one_redis_server: PrivateRedis, run_name: str):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"distill_actor": 2}})
    try:
        folder = sandbox.run(run_name)
        buffer = ("--address", cluster.address, "--buffer", one_redis_server.url)
        run = sandbox.train(run_name, "--games", "breakout", *ENDLESS, *buffer)
        until_delivering(run, folder, {"breakout-0"})
        scale(sandbox, folder, "breakout=3")
        shortage = "breakout: 3 actors are wanted, 1 have a place on the Ray cluster; 2 start when nodes join"
        run.until(lambda: shortage in (folder / "run.log").read_text(), "the shortage is said")
        cluster.add_node(num_cpus=1, resources={"distill_actor": 2})
        until_delivering(run, folder, {"breakout-0", "breakout-1", "breakout-2"})
        run.signal(signal.SIGINT)
        assert run.wait() == 0, run.output
    finally:
        cluster.shutdown()
