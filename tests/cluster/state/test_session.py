"""What a run knows of itself: metrics, scores, ratios, what is told."""

from pathlib import Path

import pytest

from actors.collecting_actor import CollectorStatus
from actors.evaluation import Evaluation, EvaluationTask, Purpose
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.models.coordinator import LineageState, Orders
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.folder import RunFolder
from cluster.state.given import GivenModels
from cluster.state.kinds import with_teachers
from cluster.state.session import Session
from distill.config import DistillConfig, RunConfig
from distill.protocols import WriterCounters
from distill.teach_config import OnlineConfig, TeachGeneralConfig
from learner.status import LearnerStatus
from tests.support.sandbox import TEACHERS, rows

GAMES = ("breakout", "pong")


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    return RedisServices(BufferAddress(one_redis_server.url, run_name, GAMES, Limits(1_000, 1_000)), tmp_path)


@pytest.fixture
def session(services: RedisServices, tmp_path: Path) -> Session:
    """Of a run with fixed teachers of both games."""
    config, teachers = with_teachers(RunConfig(general=DistillConfig(teachers=(TEACHERS,), games=GAMES)))
    return Session(RunFolder(tmp_path), config, services, GivenModels.read(teachers, None).teachers)


@pytest.fixture
def online(services: RedisServices, tmp_path: Path) -> Session:
    """Of a run with a Q-learner for each game."""
    return Session(RunFolder(tmp_path), OnlineConfig(general=TeachGeneralConfig(games=GAMES)), services)


def played(
    lineage: str, game: str, version: int, purpose: Purpose, *scores: float
) -> tuple[EvaluationTask, Evaluation]:
    task = EvaluationTask("student", game, version, None, len(scores), 1, 0.05, 1, lineage, purpose, 0)
    return task, Evaluation(
        game=game, who="student", version=version, scores=scores, lengths=(10,) * len(scores), lanes=1, epsilon=0.05,
        seed=1, max_frames=108_000, noop_max=30, steps=10 * len(scores), seconds=1.0,
    )  # fmt: skip


def test_the_last_report_is_always_in_the_metrics(session: Session):
    session.on_learner(LearnerStatus(updates=1))
    session.on_learner(LearnerStatus(updates=2, inserted={"pong": 64}))
    session.on_learner(LearnerStatus(updates=3, done=True, version=7, version_updates=3))
    found = rows(session.folder.path, "metrics.jsonl")
    assert [row["updates"] for row in found] == [row["learners"]["student"]["updates"] for row in found] == [1, 3]
    assert session.done
    assert session.updates("student") == 3


def test_a_run_ends_with_all_its_q_learners_and_not_with_its_student(online: Session):
    for lineage, done in (("student", True), ("breakout", True)):
        online.on_learner(LearnerStatus(lineage=lineage, done=done))
        assert not online.done
    online.on_learner(LearnerStatus(lineage="pong", done=True, inserted={"pong": 7}))
    assert online.done
    assert (online.game_steps("pong"), online.game_steps("breakout")) == (7, 0)


def test_metrics_tell_of_collectors_and_restarts(session: Session):
    seconds = {"inference": 1.0, "environment": 2.0, "push": 0.5, "wait": 0.5}
    writer = WriterCounters(full=3, outages=4)
    session.on_player(CollectorStatus("pong-0", "pong", 1, 400, 384, 2, (1.0,), 0, 0, seconds, {}, writer))
    session.restarts["collector"] += 1
    session.write_metrics()
    (row,) = rows(session.folder.path, "metrics.jsonl")
    assert row["collectors"]["pong-0"]["transitions"] == 384
    assert (row["collectors"]["pong-0"]["buffer_full"], row["collectors"]["pong-0"]["buffer_outages"]) == (3, 4)
    assert row["restarts"] == {"collector": 1}
    assert session.collected_per_second("pong") == 100.0
    assert session.collected_per_second("breakout") == 0.0


def test_a_refused_chunk_is_told_once(session: Session):
    for updates in (1, 2):
        session.on_learner(LearnerStatus(updates=updates, last_rejection="pong, chunk a/1: damaged"))
    assert [message for message in session.messages if "refused" in message] == [
        "chunk refused: pong, chunk a/1: damaged"
    ]


def test_an_evaluation_is_written_with_how_its_version_was_trained(session: Session, services: RedisServices):
    services.registry("student").publish(b"model", {"updates": 100, "seconds": 2.5, "transitions": {"pong": 7}, "x": 1})
    session.on_evaluation(*played("student", "pong", 1, "look", 1.0, 2.0))
    session.on_evaluation(*played("student", "pong", 9, "fresh", 5.0))
    first, unknown = rows(session.folder.path, "evaluations.jsonl")
    assert (first["updates"], first["seconds"], first["transitions"]) == (100, 2.5, {"pong": 7})
    assert (first["lineage"], first["version"], first["game"]) == ("student", 1, "pong")
    assert (first["purpose"], first["block"]) == ("look", 0)
    assert first["scores"] == [1.0, 2.0]
    assert unknown["purpose"] == "fresh"
    assert "updates" not in unknown, "a version that nobody published is written down all the same"
    assert "does not say how it was trained" in session.messages[-1]
    assert session.scores == {("student", "pong"): 1.5}, "fresh episodes are no news of the newest version"
    assert session.evaluated == {"pong": 2}


def test_the_ratio_is_to_the_fixed_teacher_or_to_the_best_candidate_so_far(session: Session, online: Session):
    assert session.ratio("breakout") is None
    scores = session.teachers["breakout"].scores
    mean = sum(scores) / len(scores)
    assert session.teacher_mean("breakout") == pytest.approx(mean)
    session.on_evaluation(*played("student", "breakout", 1, "look", mean / 2.0))
    assert session.ratio("breakout") == pytest.approx(0.5)

    online.on_evaluation(*played("student", "breakout", 1, "look", 5.0))
    assert online.ratio("breakout") is None, "nothing was promoted yet"
    state = LineageState("breakout", 1, 1, {"breakout": 10.0}, None, 1, 0)
    online.on_orders(Orders((), (state,), ("breakout 1 is promoted",)))
    assert online.ratio("breakout") == pytest.approx(0.5)
    assert online.messages[-1] == "breakout 1 is promoted"
