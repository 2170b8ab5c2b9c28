"""What a run knows of itself: scores, the best version, metrics."""

from dataclasses import replace
from pathlib import Path

import pytest
from run_support import TEACHERS, rows

from actors.collecting_actor import CollectorStatus
from actors.evaluation import Evaluation
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.state.folder import RunFolder
from cluster.state.session import Scored, Session, evaluation_tasks
from distill.config import EvaluationConfig, RunConfig
from distill.protocols import WriterCounters
from distill.teachers import choose_teachers
from learner.status import LearnerStatus

CONFIG = RunConfig(evaluation=EvaluationConfig(eval_episodes=3, eval_lanes=2, eval_epsilon=0.01))


@pytest.fixture
def session(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> Session:
    """Of a run of both games with three published versions."""
    registry = RedisModelRegistry(connect(one_redis_server.url), run_name, "student", tmp_path)
    for model in (b"first", b"second", b"third"):
        registry.publish(model, {})
    session = Session(RunFolder(tmp_path), CONFIG, choose_teachers([TEACHERS], ["breakout", "pong"]), registry)
    for version in (1, 2, 3):
        session.on_published(version, 100 * version)
    return session


def evaluation(game: str, version: int, *scores: float) -> Evaluation:
    return Evaluation(
        game=game, who="student", version=version, scores=scores, lengths=(10,) * len(scores), lanes=1, epsilon=0.05,
        seed=1, max_frames=108_000, noop_max=30, steps=10 * len(scores), seconds=1.0,
    )  # fmt: skip


def teacher_mean(session: Session, game: str) -> float:
    scores = session.teachers[game].scores
    return sum(scores) / len(scores)


def score(session: Session, version: int, share: float) -> Scored | None:
    """Let a version score a share of the teachers at both games."""
    random = -20.7
    breakout, pong = (teacher_mean(session, game) for game in ("breakout", "pong"))
    assert session.on_evaluation(evaluation("breakout", version, share * breakout)) is None, "pong is still to come"
    return session.on_evaluation(evaluation("pong", version, random + share * (pong - random)))


def test_a_version_is_scored_once_all_its_games_are_played(session: Session):
    scored = score(session, 2, 0.5)
    assert scored is not None
    assert scored.version == 2
    assert scored.score == pytest.approx(0.5, abs=1e-3), "the mean of the games' ratios to the teacher"
    (row,) = rows(session.folder.path, "evaluations.jsonl")
    assert (row["version"], row["updates"], row["score"]) == (2, 200, scored.score)
    assert Evaluation.from_json(row["games"]["pong"]).version == 2
    assert session.evaluated_version == 2


def test_two_versions_are_not_mixed(session: Session):
    session.on_evaluation(evaluation("breakout", 1, 5.0))
    assert session.on_evaluation(evaluation("pong", 2, 5.0)) is None
    assert session.on_evaluation(evaluation("breakout", 2, 5.0)) is not None
    assert session.on_evaluation(evaluation("pong", 1, 5.0)) is not None
    assert [row["version"] for row in rows(session.folder.path, "evaluations.jsonl")] == [2, 1]
    assert session.evaluated_version == 2


def test_the_best_version_is_named_in_the_registry(session: Session):
    for version, share, best in ((1, 0.4, 1), (2, 0.9, 2), (3, 0.6, 2)):
        score(session, version, share)
        assert session.best is not None and session.best.version == best
        assert session.registry.resolve("best") == best


def test_a_resumed_run_knows_its_best_version_and_what_was_evaluated(session: Session):
    score(session, 1, 0.9)
    score(session, 2, 0.5)
    again = Session(session.folder, session.config, session.teachers, session.registry, sitting=1)
    assert again.best == session.best == Scored(1, pytest.approx(0.9, abs=1e-3))
    assert again.evaluated_version == 2


def test_a_registry_that_is_away_costs_no_score(session: Session, tmp_path: Path):
    with PrivateRedis(tmp_path / "redis") as server:
        session.registry = RedisModelRegistry(connect(server.url, timeout=0.5), "away", "student")
    assert score(session, 3, 0.7) is not None
    assert session.best is not None and session.best.version == 3
    assert "the registry does not know it yet" in session.messages[-1]


def test_a_teacher_without_a_score_still_lets_versions_be_ranked(session: Session):
    teacher = session.teachers["breakout"]
    unscored = replace(teacher, card=replace(teacher.card, scores={}))
    session.teachers = {"breakout": unscored}
    first, second = (session.on_evaluation(evaluation("breakout", n, 10.0 * n, 20.0 * n)) for n in (1, 2))
    assert (first, second) == (Scored(1, 15.0), Scored(2, 30.0))


def test_a_skipped_version_is_counted_and_told(session: Session):
    session.skip_evaluation(2)
    assert session.skipped_evaluations == 1
    assert "student 2 is not evaluated" in session.messages[-1]


def test_the_last_report_is_always_in_the_metrics(session: Session):
    session.on_progress(LearnerStatus(updates=1))
    session.on_progress(LearnerStatus(updates=2, inserted={"pong": 64}))
    session.on_progress(LearnerStatus(updates=3, done=True, version=7, version_updates=3))
    assert [row["updates"] for row in rows(session.folder.path, "metrics.jsonl")] == [1, 3]
    assert session.version == 7


def test_metrics_tell_of_collectors_and_restarts(session: Session):
    seconds = {"inference": 1.0, "environment": 2.0, "push": 0.5, "wait": 0.5}
    writer = WriterCounters(full=3, outages=4)
    report = CollectorStatus("pong-0", "pong", 1, 400, 384, 2, (1.0,), 0, 0, seconds, {}, writer)
    session.on_report(report)
    session.restarts["collector"] += 1
    row = session.metrics()
    assert row["collectors"]["pong-0"]["transitions"] == 384
    assert (row["collectors"]["pong-0"]["buffer_full"], row["collectors"]["pong-0"]["buffer_outages"]) == (3, 4)
    assert row["restarts"] == {"collector": 1}
    assert session.collected_per_second("pong") == 100.0
    assert session.collected_per_second("breakout") == 0.0


def test_a_refused_chunk_is_told_once(session: Session):
    for updates in (1, 2):
        session.on_progress(LearnerStatus(updates=updates, last_rejection="pong, chunk a/1: damaged"))
    assert [message for message in session.messages if "refused" in message] == [
        "chunk refused: pong, chunk a/1: damaged"
    ]


def test_versions_are_all_played_from_the_same_seeds(session: Session):
    first, second = (evaluation_tasks(session, version) for version in (1, 2))
    assert [(task.game, task.version, task.model) for task in first] == [("breakout", 1, None), ("pong", 1, None)]
    assert {task.seed for task in first} == {task.seed for task in second}
    assert all((task.episodes, task.lanes, task.epsilon) == (3, 2, 0.01) for task in first)
    assert [task.model for task in evaluation_tasks(session, 2, fetch=True)] == [b"second", b"second"]
