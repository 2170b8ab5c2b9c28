"""Whoever was replaced writes nothing that counts: no version, no decision, no cursor."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis.client import Pipeline

from actors.evaluation import EvaluationTask
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import delete_run, game_stats
from cluster.models.decisions import Promotion
from cluster.models.ledger import Ledger
from cluster.redis.connection import connect
from cluster.redis.holder import COORDINATOR, RUN, Holder, incarnation_of, learner_of
from cluster.redis.keys import claim_key, stream_keys
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.errors import ReplacedError
from tests.support.chunk_streams import make_chunk

LEARNER = learner_of("student")


@pytest.fixture
def services(redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    """What the run process connects by."""
    address = BufferAddress(redis_server.url, run_name, ("pong",), Limits(1_000, 1_000), "id of the run")
    return RedisServices(address, tmp_path, Holder(run_name, "id of the run", "host-a", "/runs/demo"))


def test_incarnations_grow_with_starts_and_with_sittings() -> None:
    numbers = [incarnation_of(sitting, starts) for sitting in range(3) for starts in (0, 1, 2, 5_000)]
    assert numbers == sorted(set(numbers))


TASK = EvaluationTask("student", "pong", 1, None, 1, 1, 0.05, 1, "student")
PROMOTION = Promotion(1, None, ("best",), {}, 0.0, "why")
WRITES: dict[str, Callable[[Ledger], object]] = {
    "publish": lambda ledger: ledger.publish(b"late", {}),
    "assign": lambda ledger: ledger.assign("best", 1),
    "scores": lambda ledger: ledger.add_scores(TASK, [1.0]),
    "turn down": lambda ledger: ledger.turn_down(1, "rejected", "why"),
    "promote": lambda ledger: ledger.promote(PROMOTION),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("by", ["restart", "resume"])
def test_who_was_replaced_changes_nothing_in_the_registry(
    services: RedisServices, write: Callable[[Ledger], object], by: str
) -> None:
    old = services.held_by(COORDINATOR, 0).ledger("student")
    old.publish(b"one", {})
    if by == "restart":
        new = services.held_by(COORDINATOR, 1).ledger("student")
    else:
        # The run process of a new sitting fences what worked for the one before, even before anything is started.
        new = services.held_by(RUN, incarnation_of(1, 0)).ledger("student")
    before = (new.names(), new.scores(), new.verdicts(), new.promotions())
    with pytest.raises(
        ReplacedError, match=r"^coordinator in run .*: expected no incarnation after 0, found .* was repl"
    ):
        write(old)
    assert (new.names(), new.scores(), new.verdicts(), new.promotions()) == before
    assert write(new) is not False, "who has taken its place goes on"


def test_what_one_began_before_it_was_replaced_does_not_count(
    services: RedisServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = services.held_by(LEARNER, 0).registry("student")
    execute = Pipeline.execute

    def replaced_meanwhile(pipeline: Pipeline) -> list[object]:
        monkeypatch.setattr(Pipeline, "execute", execute)
        assert services.holder is not None
        services.holder.to(LEARNER, 1).claim(connect(services.address.registry))
        return pipeline.execute()

    # Between what it has read and what it writes.
    monkeypatch.setattr(Pipeline, "execute", replaced_meanwhile)
    with pytest.raises(ReplacedError):
        old.publish(b"late", {})
    assert old.resolve("latest") is None


def test_roles_and_lineages_do_not_fence_each_other(services: RedisServices) -> None:
    student = services.held_by(LEARNER, 0).registry("student")
    services.held_by(learner_of("pong"), 7).registry("pong").publish(b"pong", {})
    services.held_by(COORDINATOR, 9).ledger("student")
    assert student.publish(b"one", {}) == 1


def test_a_user_rolls_back_whoever_works_for_the_run(services: RedisServices) -> None:
    coordinator = services.held_by(COORDINATOR, incarnation_of(3, 2)).ledger("student")
    for data in (b"one", b"two"):
        coordinator.publish(data, {})
    coordinator.promote(replace(PROMOTION, version=2))
    replace(services, holder=None).ledger("student").roll_back(PROMOTION)
    assert coordinator.resolve("best") == 1
    coordinator.turn_down(1, "rejected", "it goes on")


def test_another_runs_holder_is_told_whose_the_name_is(services: RedisServices) -> None:
    mine = services.registry("student")
    assert services.holder is not None
    stranger = replace(services, holder=replace(services.holder, run_id="another id", folder="/elsewhere/demo"))
    with pytest.raises(
        ReplacedError, match=r"expected the keys of run id another id .* in /runs/demo on host-a; .*--name"
    ):
        stranger.registry("student")
    assert mine.publish(b"one", {}) == 1


def test_a_server_that_has_lost_everything_is_claimed_again(services: RedisServices) -> None:
    registry = services.held_by(LEARNER, 1).registry("student")
    reader = services.held_by(LEARNER, 1).reader(0)
    reader.read("pong", 1)
    with connect(services.address.registry) as client:
        assert delete_run(client, services.address.run) == 2
        assert registry.publish(b"one", {}) == 1
        reader.read("pong", 1)
        assert client.hget(claim_key(services.address.run), LEARNER) == b"1"
    with pytest.raises(ReplacedError):
        services.held_by(LEARNER, 0).registry("student")
    with pytest.raises(ReplacedError):
        services.held_by(LEARNER, 0).reader(0).read("pong", 1)


@pytest.mark.parametrize("part", [0, 1])
def test_every_rank_of_a_replaced_learner_is_fenced_in_its_own_streams(services: RedisServices, part: int) -> None:
    ranks = replace(services, address=replace(services.address, limits=Limits(1_000, 1_000, shards=2)))
    ranks.address.writer("pong", part).write(make_chunk(0))
    old = ranks.held_by(LEARNER, 0)
    before = [old.reader(0, rank, 2) for rank in range(2)]
    assert len(before[part].read("pong", 4)) == 1
    after = [ranks.held_by(LEARNER, 1).reader(0, rank, 2) for rank in range(2)]
    with pytest.raises(ReplacedError):
        before[part].commit()
    with pytest.raises(ReplacedError):
        before[part].read("pong", 4)
    assert [len(reader.read("pong", 4)) for reader in after] == [1 - part, part], "it is read again"
    after[part].commit()


def test_a_full_server_can_be_claimed(services: RedisServices, redis_server: PrivateRedis) -> None:
    assert services.holder is not None
    key = stream_keys(services.address.run, "pong", 0).meta
    with connect(redis_server.url) as client:
        client.execute_command("CONFIG", "SET", "maxmemory", "1")
        try:
            services.holder.claim(client)
            services.held_by(LEARNER, 3).reader(0).read("pong", 1)
            assert client.hget(claim_key(services.address.run), RUN) == b"0"
            assert client.hget(key, LEARNER) == b"3"
        finally:
            client.execute_command("CONFIG", "SET", "maxmemory", "0")


def test_two_readers_of_one_rank(one_redis_server: PrivateRedis) -> None:
    """Whatever the order: only the newest incarnation of a rank moves its cursor, and its chunks are never trimmed."""
    client = connect(one_redis_server.url)

    class Machine(RuleBasedStateMachine):
        @initialize(run=st.uuids())
        def begin(self, run: object) -> None:
            self.run = str(run)
            address = BufferAddress(one_redis_server.url, self.run, ("pong",), Limits(8, 10_000), "id")
            self.services = RedisServices(address, None, Holder(self.run, "id"))
            self.writer = address.writer("pong")
            self.readers = [self.services.held_by(LEARNER, 0).reader(0)]
            self.read_by, self.known = [0], [0]
            self.sequence = self.committed = 0

        def teardown(self) -> None:
            if hasattr(self, "run"):
                delete_run(client, self.run)

        @rule(count=st.integers(1, 3))
        def push(self, count: int) -> None:
            for _ in range(count):
                self.writer.write(make_chunk(self.sequence))
                self.sequence += 1

        @rule()
        def replace(self) -> None:
            self.readers.append(self.services.held_by(LEARNER, len(self.readers)).reader(0))
            self.read_by.append(0)
            self.known.append(0)

        @rule(data=st.data(), count=st.integers(1, 4))
        def read(self, data: st.DataObject, count: int) -> None:
            number = data.draw(st.integers(0, len(self.readers) - 1))
            if number < len(self.readers) - 1:
                with pytest.raises(ReplacedError):
                    self.readers[number].read("pong", count)
                return
            found = self.readers[number].read("pong", count)
            self.known[number] = self.committed
            if found:
                first = found[0].sequence
                # Nothing that the newest has not read and committed was trimmed.
                assert first <= max(self.read_by[number], self.committed)
                self.read_by[number] = found[-1].sequence + 1

        @rule(data=st.data())
        def commit(self, data: st.DataObject) -> None:
            number = data.draw(st.integers(0, len(self.readers) - 1))
            # A read also tells what is committed already: where nothing is owed, nobody is asked.
            if self.read_by[number] > self.known[number] and number < len(self.readers) - 1:
                with pytest.raises(ReplacedError):
                    self.readers[number].commit()
            else:
                self.readers[number].commit()
                self.committed = max(self.committed, self.read_by[number])
                self.known[number] = max(self.known[number], self.read_by[number])
            unread = game_stats(client, self.run, "pong").unread
            assert unread == 4 * (self.sequence - self.committed)

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
    client.close()
