"""The coordinator on a real Redis: what it promotes, and that no kill between two of its writes changes that."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.connection import AbstractConnection

from actors.evaluation import Evaluation, EvaluationTask
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import delete_run
from cluster.models.coordinator import Coordinator, Orders
from cluster.models.decisions import Promotion
from cluster.models.lineage import Lineage
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import read_promotions
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.errors import RunError
from distill.teach_config import PromotionConfig

LINEAGE = Lineage("pong", ("pong",), "candidate", ("best",))
STUDENT = Lineage("student", ("pong", "breakout"), "student", ("best", "production"))
CONFIG = PromotionConfig(look_episodes=4, most_episodes=12, best_episodes=8).as_rule
ASIDE = PromotionConfig(curve_episodes=4).as_rule
MEANS = {1: 0.0, 2: 6.0, 3: 6.5, 4: 2.0, 5: 20.0}
"""How good each version is; one that is a little better than the best takes several looks."""
WRITES = (b"EVALSHA",)


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    address = BufferAddress(one_redis_server.url, run_name, ("pong",), Limits(1_000, 1_000))
    return RedisServices(address, tmp_path / run_name)


def play(task: EvaluationTask) -> tuple[EvaluationTask, Evaluation]:
    """Return the result of a task: always the same for the same one."""
    noise = np.random.default_rng([task.version, task.block, task.purpose != "look"]).normal(size=task.episodes)
    return task, Evaluation(
        game=task.game, who=task.who, version=task.version, scores=tuple(MEANS[task.version] + noise),
        lengths=(1,) * task.episodes, lanes=task.lanes, epsilon=0.05, seed=task.seed, max_frames=1, noop_max=30,
        steps=task.episodes, seconds=0.0,
    )  # fmt: skip


def coordinate(services: RedisServices, lineages: tuple[Lineage, ...] = (LINEAGE,)) -> Orders:
    """Publish every version in its turn and play all that the coordinator asks for; go on where another one ended."""
    registries = [services.registry(lineage.name) for lineage in lineages]
    coordinator = Coordinator(lineages, services, CONFIG, 1, clock=lambda: 1.0)
    orders = coordinator.advance([])
    while True:
        urgent = [task for task in orders.tasks if task.purpose == "look"]
        if not urgent and (registries[-1].resolve("latest") or 0) < len(MEANS):
            for registry in registries:
                if (registry.resolve("latest") or 0) < len(MEANS):
                    registry.publish(b"weights", {})
            orders = coordinator.advance([])
        elif orders.tasks:
            orders = coordinator.advance([play(orders.tasks[0])])
        else:
            return orders


def state_of(services: RedisServices, lineage: str = "pong") -> dict[str, Any]:
    ledger = services.ledger(lineage)
    return {
        "promotions": ledger.promotions(),
        "verdicts": ledger.verdicts(),
        "names": ledger.names(),
        "scores": ledger.scores(),
        "copy": read_promotions(services.mirror or Path(), lineage),
    }


def test_it_promotes_what_is_better_and_says_why(services: RedisServices):
    orders = coordinate(services)
    state = state_of(services)
    assert [(p.version, p.parent) for p in state["promotions"]] == [(1, None), (2, 1), (5, 2)]
    assert state["verdicts"] == {1: "promoted", 2: "promoted", 3: "rejected", 4: "rejected", 5: "promoted"}
    assert state["names"] == {"best": 5, "candidate": 5, "latest": 5}
    assert state["promotions"] == state["copy"]
    assert state["promotions"][0].why == "the first candidate"
    assert "better with probability" in state["promotions"][1].why
    assert state["promotions"][1].scores["pong"]["mean"] == pytest.approx(6.0, abs=1.5)
    assert sorted(state["scores"][5]["pong"]["fresh"]) == [0, 1], "fresh episodes of the best"
    (lineage,) = orders.lineages
    assert (lineage.best, lineage.promotions, lineage.superseded, lineage.candidate) == (5, 3, 0, None)
    assert lineage.best_means["pong"] == pytest.approx(20.0, abs=1.5)


def test_waiting_candidates_give_way_to_the_newest(services: RedisServices):
    registry = services.registry("pong")
    for _ in range(3):
        registry.publish(b"weights", {})
    coordinator = Coordinator([LINEAGE], services, CONFIG, 1)
    orders = coordinator.advance([])
    assert [task.version for task in orders.tasks] == [3]
    assert orders.lineages[0].superseded == 2
    first = orders.tasks[0]
    registry.publish(b"weights", {})
    registry.publish(b"weights", {})
    orders = coordinator.advance([], first)
    assert [task.version for task in orders.tasks] == [3], "it is being played, or none would ever be decided on"
    assert orders.lineages[0].superseded == 3, "4 has given way to 5"
    coordinator.advance([play(first)])
    assert services.ledger("pong").resolve("best") == 3
    assert services.ledger("pong").verdicts()[4] == "superseded"


def test_a_lineage_whose_candidates_never_end_does_not_keep_out_the_others(services: RedisServices):
    other = Lineage("student", ("pong",), "student", ("best",))
    registries = [services.registry(lineage.name) for lineage in (LINEAGE, other)]
    coordinator = Coordinator([LINEAGE, other], services, CONFIG, 1)
    orders = coordinator.advance([])
    played: list[tuple[str, str, int]] = []
    for _ in range(8):
        for registry in registries:
            registry.publish(b"weights", {})
        task = coordinator.advance([]).tasks[0]
        played.append((task.lineage, task.purpose, task.block))
        orders = coordinator.advance([(task, play(replace(task, version=1))[1])])  # all as good as version 1
    assert {lineage for lineage, _, _ in played[:2]} == {"pong", "student"}
    assert [lineage for lineage, _, _ in played[:6]] == [lineage for lineage, _, _ in played[:2]] * 3
    assert [task[1:] for task in played[2:4]] == [("fresh", 0)] * 2, "what candidates are compared with comes first"
    assert [task[1:] for task in played[4:6]] == [("look", 0)] * 2, "more of it comes after the candidates"
    assert (orders.tasks[-1].purpose, orders.tasks[-1].block) == ("fresh", 1)


def test_students_of_several_games_get_production_too(services: RedisServices):
    coordinate(services, (LINEAGE, STUDENT))
    state = state_of(services, "student")
    assert state["names"] == {"best": 5, "candidate": 5, "production": 5, "latest": 5}
    assert set(state["promotions"][-1].scores) == {"pong", "breakout"}


def test_the_same_result_twice_changes_nothing(services: RedisServices):
    services.registry("pong").publish(b"weights", {})
    coordinator = Coordinator([LINEAGE], services, CONFIG, 1, clock=lambda: 1.0)
    result = play(coordinator.advance([]).tasks[0])
    coordinator.advance([result])
    before = state_of(services)
    coordinator.advance([result, result])
    assert state_of(services) == before
    assert len(before["promotions"]) == 1


def test_a_candidate_keeps_its_weights_while_it_is_played(services: RedisServices):
    registry = services.registry("pong")
    registry.publish(b"first", {})
    coordinator = Coordinator([LINEAGE], services, CONFIG, 1)
    (task,) = coordinator.advance([]).tasks
    for _ in range(20):
        registry.publish(b"newer", {})
    assert registry.fetch(1) == b"first", "or it could neither be played nor promoted"
    coordinator.advance([play(task)], None)
    assert services.ledger("pong").resolve("best") == 1


@pytest.mark.parametrize("removed", [False, True])
def test_a_candidate_of_long_ago_is_played_on_unless_its_weights_were_removed(services: RedisServices, removed: bool):
    ledger = services.ledger("pong")
    for _ in range(20):
        ledger.publish(b"weights", {})
    ledger.add_scores(EvaluationTask("candidate", "pong", 2, None, 4, 4, 0.05, 1, "pong"), [1.0] * 3)
    if removed:
        ((services.mirror or Path()) / "models/pong/2.safetensors").unlink()
    orders = Coordinator([LINEAGE], services, CONFIG, 1).advance([])
    assert [task.version for task in orders.tasks] == [20 if removed else 2]
    assert ledger.verdicts().get(2) == ("superseded" if removed else None)
    assert removed or services.for_actors().registry("pong").fetch(2) == b"weights"


@dataclass
class Killer:
    """Kills this process before its write number `at`, to Redis or to a file."""

    at: int
    seen: int = 0

    def install(self) -> None:
        send = AbstractConnection.send_packed_command

        def counted(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            packed = command if isinstance(command, bytes) else b"".join(command)
            if any(verb in packed for verb in WRITES):
                self.count()
            return send(connection, command, *args, **kwargs)

        AbstractConnection.send_packed_command = counted
        sys.addaudithook(lambda event, _: self.count() if event == "os.rename" else None)

    def count(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(work: Callable[[], object], at: int) -> bool:
    """Work in a process that dies before its write number `at`; return whether it lived to the end."""
    child = os.fork()
    if child == 0:
        try:
            Killer(at).install()
            work()
        except BaseException as error:  # noqa: BLE001 - a test's own process must not go on as pytest
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def test_a_kill_between_any_two_writes_changes_nothing(services: RedisServices, tmp_path: Path):
    coordinate(services)
    expected = state_of(services)
    at, lived = 0, False
    while not lived:
        at += 1
        address = BufferAddress(services.address.urls, f"{services.address.run}-{at}", ("pong",), Limits(1_000, 1_000))
        killed = RedisServices(address, tmp_path / f"killed-{at}")
        lived = in_a_child(lambda killed=killed: coordinate(killed), at)
        coordinate(killed)
        assert state_of(killed) == expected, f"after a kill before write {at}"
    assert at > 50, "a coordinator writes often"


def set_aside(services: RedisServices) -> dict[str, Any]:
    """Let a coordinator find three versions at once; return what was decided and whose weights were set aside."""
    (task,) = Coordinator([LINEAGE], services, ASIDE, 1).advance([]).tasks
    mirror = ModelMirror(services.mirror or Path(), "pong")
    return {
        "played": task.version,
        "verdicts": services.ledger("pong").verdicts(),
        "aside": {version: mirror.data(version) for version in mirror.aside()},
    }


def test_a_kill_between_any_two_writes_sets_aside_the_last_half(services: RedisServices, tmp_path: Path):
    at, lived = 0, False
    while not lived:
        at += 1
        address = BufferAddress(services.address.urls, f"{services.address.run}-{at}", ("pong",), Limits(1_000, 1_000))
        killed = RedisServices(address, tmp_path / f"killed-{at}")
        for version in (1, 2, 3):
            killed.registry("pong").publish(b"%d" % version, {"seconds": version})
        lived = in_a_child(lambda killed=killed: set_aside(killed), at)
        assert set_aside(killed) == {
            "played": 3,
            "verdicts": {1: "superseded", 2: "superseded"},
            # Version 1 is older than half of the training time.
            "aside": {2: b"2", 3: b"3"},
        }, f"after a kill before write {at}"
    assert at > 8, "it writes weights, verdicts and their copies"


def test_weights_are_set_aside_only_for_curves(services: RedisServices):
    registry = services.registry("pong")
    for _ in range(2):
        registry.publish(b"weights", {"seconds": 1.0})
    Coordinator([LINEAGE], services, CONFIG, 1).advance([])
    assert services.ledger("pong").verdicts() == {1: "superseded"}
    assert ModelMirror(services.mirror or Path(), "pong").aside() == []


@pytest.mark.parametrize("survivors", ["nothing", "versions"])
def test_decisions_come_back_from_the_runs_folder(services: RedisServices, survivors: str):
    coordinate(services)
    expected = state_of(services)
    registry = services.registry("pong")
    run = services.address.run
    if survivors == "nothing":
        delete_run(registry._client, run)
    else:
        kept = [key for key in registry._client.scan_iter(f"*{run}*") if b"promotions" in key or b"verdicts" in key]
        assert len(kept) == 2
        registry._client.delete(*kept)
        registry.assign("best", 1)
    services.ledger("pong").synchronise()
    assert state_of(services) == expected


def test_a_promotion_can_be_rolled_back(services: RedisServices):
    coordinate(services)
    ledger = services.ledger("pong")
    ledger.roll_back(Promotion(2, 5, ("best",), {}, 2.0, "by hand", "roll-back"))
    assert services.ledger("pong").resolve("best") == 2
    assert ledger.promotions()[-1].kind == "roll-back"
    with pytest.raises(RunError, match="holds"):
        ledger.roll_back(Promotion(17, 5, ("best",), {}, 2.0, "by hand", "roll-back"))
    assert ledger.resolve("best") == 2
