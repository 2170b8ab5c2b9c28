"""A Redis that comes back empty, with older data, or full: a run finds all its versions and decisions again."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection

from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import EvaluationTask
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.models.coordinator import Coordinator
from cluster.models.decisions import Promotion
from cluster.models.ledger import Ledger
from cluster.models.mirror import ModelMirror
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.architectures import ARCHITECTURES
from distill.errors import BufferUnavailable, RunError
from distill.model_card import ModelCard
from distill.models import model_bytes
from distill.networks import QNetwork
from tests.cluster.models.test_coordinator import ASIDE, CONFIG, LINEAGE, STUDENT, coordinate, play, state_of
from tests.support.chunk_streams import make_chunk, until


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    address = BufferAddress(one_redis_server.url, run_name, ("pong",), Limits(1_000, 1_000))
    return RedisServices(address, tmp_path / run_name)


def kill(server: PrivateRedis) -> None:
    """Kill a server, which can be started again at the same address."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None, "the server is gone")


def flushed(client: redis.Redis) -> Callable[[], None]:
    return lambda: client.flushall() and None


def older(client: redis.Redis) -> Callable[[], None]:
    """Return what brings back the data of now."""
    saved = {key: client.dump(key) for key in client.scan_iter()}

    def come_back() -> None:
        client.flushall()
        for key, value in saved.items():
            client.restore(key, 0, value)

    return come_back


LOSSES = pytest.mark.parametrize("loss", [flushed, older])


@pytest.mark.parametrize("lineage", [LINEAGE, STUDENT], ids=lambda lineage: lineage.who)
@LOSSES
def test_an_evaluation_outlasts_many_publications_and_a_loss(services: RedisServices, lineage: Any, loss: Any):
    ledger, actors = services.ledger(lineage.name), services.for_actors().registry(lineage.name)
    ledger.publish(b"1", {})
    lose = loss(connect(services.address.registry))
    coordinator = Coordinator([lineage], services, CONFIG, 1)
    tasks = coordinator.advance([]).tasks
    for version in range(2, 22):
        ledger.publish(b"%d" % version, {})
        coordinator.advance([], tasks[0])
    lose()
    coordinator.advance([], tasks[0])
    assert actors.fetch(1) == b"1", "it may be begun again, by another evaluator"
    lose()
    orders = coordinator.advance([play(task) for task in tasks])
    assert actors.resolve("best") == 1 and actors.fetch(1) == b"1"
    assert actors.resolve("latest") == 21
    assert {task.version for task in orders.tasks} == {1, 21}
    mirror = ModelMirror(services.mirror or Path(), lineage.name)
    assert mirror.data(1) == b"1" and mirror.names() == ledger.names()


@dataclass
class Loser:
    """Lets Redis lose its data before command number `at` of this process, which goes on.

    Attributes:
        at: number of the command.
        loss: what is lost; older data are those of half that number.
        client: to lose it with.
    """

    at: int
    loss: Callable[[redis.Redis], Callable[[], None]]
    client: redis.Redis
    seen: int = 0
    lose: Callable[[], None] | None = None
    losing: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = AbstractConnection.send_packed_command

        def counted(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.losing:
                self.count()
            return send(connection, command, *args, **kwargs)

        monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)

    def count(self) -> None:
        self.seen += 1
        self.losing = True
        if self.seen == self.at // 2:
            self.lose = self.loss(self.client)
        if self.seen == self.at and self.lose is not None:
            self.lose()
        self.losing = False


@pytest.mark.parametrize("at", [2, 7, 15, 24, 33, 42, 51, 64, 77, 90, 104, 118])
@LOSSES
def test_a_loss_between_any_two_commands_changes_no_decision(
    services: RedisServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: Any, at: int
):
    undisturbed = RedisServices(services.address, tmp_path / "undisturbed")
    coordinate(undisturbed)
    expected = state_of(undisturbed)
    client = connect(services.address.registry)
    client.flushall()
    loser = Loser(at, loss, client)
    loser.install(monkeypatch)
    coordinate(services)
    monkeypatch.undo()
    assert loser.seen > at, "the loss came while it worked"
    services.ledger("pong").synchronise()
    assert state_of(services) == expected


def test_the_folder_forgets_nothing_on_the_word_of_an_empty_redis(services: RedisServices):
    coordinate(services)
    ledger, mirror = services.ledger("pong"), ModelMirror(services.mirror or Path(), "pong")
    expected, kept = state_of(services), mirror.held()
    for change in (
        lambda: ledger.add_scores(play_task(5), [1.0]),
        lambda: ledger.turn_down(4, "rejected", "again"),
        lambda: ledger.assign("candidate", 5),
        ledger.synchronise,
    ):
        connect(services.address.registry).flushall()
        change()
        assert mirror.held() == kept
        assert state_of(services) == expected


def play_task(version: int) -> EvaluationTask:
    return EvaluationTask("candidate", "pong", version, None, 4, 4, 0.05, 1, "pong")


def test_what_was_published_before_a_kill_is_in_the_folder_before_it_is_played(services: RedisServices):
    ledger = services.ledger("pong")
    ledger.publish(b"1", {"updates": 1})
    mirror = ModelMirror(services.mirror or Path(), "pong")
    for file in (services.mirror or Path()).glob("models/pong/*"):
        file.unlink()
    assert mirror.versions() == []
    Coordinator([LINEAGE], services, CONFIG, 1).advance([])
    assert (mirror.data(1), mirror.metadata(1)) == (b"1", {"updates": 1})
    assert mirror.names() == {"candidate": 1, "latest": 1}


def test_what_the_coordinator_was_too_late_for_is_set_aside_for_the_curves_all_the_same(services: RedisServices):
    ledger = services.ledger("pong")
    for version in range(1, 31):
        ledger.publish(b"%d" % version, {"seconds": float(version)})
    Coordinator([LINEAGE], services, ASIDE, 1).advance([])
    mirror = ModelMirror(services.mirror or Path(), "pong")
    assert [mirror.data(version) for version in range(15, 31)] == [b"%d" % version for version in range(15, 31)]
    ledger.synchronise()
    assert mirror.held() == list(range(23, 31)), "what was decided on is dropped, or only set aside"


def test_scores_that_redis_does_not_take_reach_it_later(own_redis: PrivateRedis, tmp_path: Path):
    ledger = Ledger(connect(own_redis.url), "run", "pong", tmp_path)
    ledger.publish(b"1", {})
    kill(own_redis)
    with pytest.raises(BufferUnavailable):
        ledger.add_scores(play_task(1), [3.0])
    own_redis.start()
    assert ledger.synchronise().decisions.scores == {"1/pong/look/0": [3.0]}
    assert ledger.scores() == {1: {"pong": {"look": {0: [3.0]}}}}


def test_a_roll_back_reaches_a_version_that_redis_has_lost(services: RedisServices):
    coordinate(services)
    connect(services.address.registry).flushall()
    services.ledger("pong").roll_back(Promotion(2, 5, ("best",), {}, 2.0, "by hand", "roll-back"))
    actors = services.for_actors().registry("pong")
    assert actors.resolve("best") == 2 and actors.fetch(2) == b"weights"
    for file in (services.mirror or Path()).glob("models/pong/1.*safetensors"):
        file.unlink()
    connect(services.address.registry).flushall()
    with pytest.raises(RunError, match="nor are its bytes in the run's folder"):
        services.ledger("pong").roll_back(Promotion(1, 2, ("best",), {}, 3.0, "by hand", "roll-back"))
    assert actors.resolve("best") == 2


def test_a_best_version_whose_weights_were_removed_is_not_asked_for(services: RedisServices):
    coordinate(services)
    connect(services.address.registry).flushall()
    ((services.mirror or Path()) / "models/pong/5.safetensors").unlink()
    ledger = services.ledger("pong")
    ledger.publish(b"6", {})
    assert [task.version for task in Coordinator([LINEAGE], services, CONFIG, 1).advance([]).tasks] == [6]


def test_an_evaluator_waits_for_a_version_that_redis_has_lost(services: RedisServices):
    architecture = ARCHITECTURES["one_percent"]
    network = QNetwork(architecture, {"pong": 6})
    services.ledger("pong").publish(model_bytes(network, ModelCard("student", architecture, {"pong": 6})), {})
    coordinator, evaluator = Coordinator([LINEAGE], services, CONFIG, 1), EvaluatingActor(services.for_actors())
    (task,) = coordinator.advance([]).tasks
    connect(services.address.registry).flushall()
    assert "version 1 of pong in run" in evaluator.begin(task) and "holds none" in evaluator.begin(task)
    coordinator.advance([], task)
    assert evaluator.begin(task) == ""


def test_a_coordinator_that_is_replaced_tells_the_scores_again(services: RedisServices):
    services.registry("pong").publish(b"1", {})
    first = Coordinator([LINEAGE], services, CONFIG, 1)
    orders = first.advance([play(first.advance([]).tasks[0])])
    assert [judged.version for judged in orders.judged] == [1]
    assert first.advance([]).judged == ()
    assert Coordinator([LINEAGE], services, CONFIG, 1).advance([]).judged == orders.judged


def test_a_coordinator_that_cannot_reach_redis_says_so_and_goes_on(own_redis: PrivateRedis, tmp_path: Path):
    services = RedisServices(BufferAddress(own_redis.url, "run", ("pong",), Limits(1_000, 1_000)), tmp_path)
    services.registry("pong").publish(b"1", {})
    coordinator = Coordinator([LINEAGE], services, CONFIG, 1)
    result = play(coordinator.advance([]).tasks[0])
    kill(own_redis)
    answer = coordinator.ask([result])
    assert isinstance(answer, str) and "buffer service at" in answer
    own_redis.start()
    answer = coordinator.ask([result])
    assert not isinstance(answer, str)
    assert answer.lineages[0].best == 1 and [judged.version for judged in answer.judged] == [1]


def test_models_have_room_at_maxmemory_and_chunks_give_way(redis_binary: str, tmp_path: Path, run_name: str):
    megabyte, most = 2**20, 12 * 2**20
    with PrivateRedis(tmp_path / "redis", binary=redis_binary, maxmemory=most) as server:
        address = BufferAddress(server.url, run_name, ("pong",), Limits(10**9, 10**9))
        services = RedisServices(address, tmp_path / "run")
        client, writer, reader = connect(server.url), address.writer("pong"), address.reader()
        sequence = 0
        while not writer.counters.full:
            writer.write(make_chunk(sequence, steps=8))
            sequence += 1
        assert client.info("memory")["used_memory"] > 0.9 * most, "of chunks alone, none of which was read"

        ledger, plain = services.ledger("pong"), RedisServices(address, None).registry("student.explorers")
        for version in range(1, 4):
            assert ledger.publish(b"%d" % version * megabyte, {"updates": version}) == version
            assert plain.publish(b"explorers", {}) == version
        coordinator = Coordinator([LINEAGE], services, CONFIG, 1)
        orders = coordinator.advance([])
        while orders.tasks:
            orders = coordinator.advance([play(orders.tasks[0])])
        assert orders.lineages[0].best == 3 and ledger.scores()[3]["pong"]["fresh"]

        while chunks := reader.read("pong", 64):
            assert chunks
        reader.commit()
        above = client.info("memory")["used_memory"] - most
        assert above > megabyte, "models do not wait for room"
        while client.info("memory")["used_memory"] > most:
            writer.write(make_chunk(sequence, steps=8))
            assert writer.flush(10.0) == 0
            sequence += 1
        assert [plain.fetch(version) for version in (2, 3)] == [b"explorers"] * 2
        assert services.for_actors().registry("pong").fetch(3) == b"3" * megabyte
