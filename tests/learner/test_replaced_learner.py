"""A learner that lives on beside its replacement, as on a node that was cut off: nothing that it does counts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.redis.connection import connect
from cluster.redis.holder import Holder, learner_of
from cluster.redis.keys import stream_keys
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.kinds import student_plan
from distill.chunks import NO_RUN, Chunk
from distill.errors import ReplacedError
from distill.protocols import STUDENT
from distill.teach_config import QLearnerConfig
from learner.plans import QPlan
from learner.q_trainer import QTrainer
from learner.student_trainer import StudentTrainer
from learner.trainer import Trainer
from tests.support.chunk_streams import until
from tests.support.learnable_chunks import STEPS, learnable_chunk, push, services_of, tiny_config

GAME, ACTIONS = "pong", {"pong": 6}
Make = Callable[[RedisServices, Path, bool], Trainer]


def student(services: RedisServices, directory: Path, threaded: bool) -> Trainer:
    plan = student_plan(tiny_config({"updates": 10_000, "eval_every": 10}))
    return StudentTrainer(plan, ACTIONS, services, directory, threaded=threaded)


def q_learner(services: RedisServices, directory: Path, threaded: bool) -> Trainer:
    settings = {"network": "one_percent", "q_batch_size": 16, "candidate_steps": STEPS, "steps": 100_000}
    learner = QLearnerConfig.model_validate(settings)
    plan = QPlan(GAME, tiny_config().training, learner, STEPS, 3, "fast", "abc")
    return QTrainer(plan, ACTIONS, services, directory, threaded=threaded)


KINDS: Mapping[str, tuple[str, Make]] = {"student": (STUDENT, student), "q-learner": (GAME, q_learner)}


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    services = services_of(one_redis_server, run_name, (GAME,), tmp_path)
    return replace(services, holder=Holder(run_name, NO_RUN))


def chunks(first: int, count: int) -> list[Chunk]:
    return [learnable_chunk(GAME, 6, sequence) for sequence in range(first, first + count)]


@pytest.mark.parametrize("lineage, make", KINDS.values(), ids=KINDS)
def test_an_old_learner_that_goes_on_counts_for_nothing(
    services: RedisServices, tmp_path: Path, lineage: str, make: Make
) -> None:
    role = learner_of(lineage)
    push(services, GAME, chunks(0, 20))
    old = make(services.held_by(role, 0), tmp_path, False)
    assert old.feed.poll() and old.advance(60.0, 5).updates == 5
    old.publish()
    new = make(services.held_by(role, 1), tmp_path, False)
    assert new.updater.updates == 5, "it goes on from the checkpoint of the old one"
    manifest = tmp_path / "checkpoints" / lineage / "manifest.json"

    def outside() -> tuple[dict[str, int], object, bytes, list[Path]]:
        with connect(services.address.registry) as client:
            cursors = client.hgetall(stream_keys(services.address.run, GAME, 0).cursors)
        files = sorted(manifest.parent.iterdir())
        return services.registry(lineage).names(), cursors, manifest.read_bytes(), files

    before = outside()
    push(services, GAME, chunks(20, 10))
    for late in (old.publish, old.feed.poll, old.checkpoint, lambda: old.advance(60.0), old.close):
        with pytest.raises(ReplacedError):
            late()
        assert outside() == before, late
    while new.feed.poll():
        pass
    assert new.feed.inserted == {GAME: 30 * STEPS}
    assert new.publish() == before[0]["latest"] + 1
    new.close()


@pytest.mark.parametrize("lineage, make", KINDS.values(), ids=KINDS)
def test_the_feed_of_an_old_learner_ends_with_it(
    services: RedisServices, tmp_path: Path, lineage: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    role = learner_of(lineage)
    old = make(services.held_by(role, 0), tmp_path, True)
    make(services.held_by(role, 1), tmp_path, False).feed.poll()
    until(lambda: old.feed.failure is not None, "the old feed has found out")
    for _ in range(2):
        with pytest.raises(ReplacedError, match=f"^{role} in run .*: expected no incarnation after 0, found 1 of"):
            old.advance(60.0)
    assert [record.message[:14] for record in caplog.records if "expected no" in record.message] == ["feed: it ends:"]
