"""What the tests of reports share: folders of runs, written by the code that writes those of real runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from actors.collecting_actor import CollectorStatus
from actors.evaluation import Evaluation, Purpose
from cluster.models.decisions import Decisions
from cluster.models.mirror import ModelMirror
from cluster.state.folder import EVALUATIONS, METRICS, RunFolder, new_run
from cluster.state.rows import metrics_row
from cluster.state.session import Session
from distill.config import DistillConfig, RunConfig, StudentConfig
from distill.protocols import WriterCounters
from distill.teach_config import OnlineConfig, TeachGeneralConfig
from learner.status import LearnerStatus

START = 1_795_354_722.0
Scores = Mapping[str, Sequence[float]]


def evaluation(game: str, who: str, version: int, scores: Sequence[float]) -> Evaluation:
    return Evaluation(
        game=game, who=who, version=version, scores=tuple(scores), lengths=(10,) * len(scores), lanes=1, epsilon=0.05,
        seed=1, max_frames=108_000, noop_max=30, steps=10 * len(scores), seconds=1.5,
    )  # fmt: skip


def progress(games: Sequence[str], updates: int, seconds: float, lineage: str = "student") -> LearnerStatus:
    return LearnerStatus(
        lineage=lineage, updates=updates, samples=updates * 32, train_seconds=seconds, updates_per_second=10.0,
        loss=dict.fromkeys(games, 1.0 / (1 + updates)), inserted=dict.fromkeys(games, 5 * updates), ratio=6.0,
        rejected={"damaged": 0}, sample_wait_seconds=seconds / 4.0, insert_wait_seconds=seconds / 2.0,
        lag=dict.fromkeys(games, 2.0) if lineage != "student" else {},
    )  # fmt: skip


def report(game: str, transitions: int, seconds: float) -> CollectorStatus:
    spent = {"inference": seconds * 0.1, "environment": seconds * 0.2, "push": seconds * 0.3, "wait": seconds * 0.4}
    return CollectorStatus(
        f"{game}-0", game, 1, transitions, transitions, transitions // 100, (), 0, 0, spent, {}, WriterCounters()
    )


def named(config: RunConfig, games: Sequence[str]) -> RunConfig:
    """Return a configuration with its games, as it is once its teachers are found."""
    return config.model_copy(update={"general": config.general.model_copy(update={"games": tuple(games)})})


def append_metrics(session: Session, time: float) -> None:
    """Write a row of metrics as if it were that time."""
    row = metrics_row(session.learners, session.states, session.players, session.restarts, session.outages)
    session.folder.append(METRICS, row | {"time": time})


def made_run(
    root: Path,
    name: str,
    *,
    games: Sequence[str] = ("breakout", "pong"),
    seed: int = 1,
    loss: str = "kl",
    final: Scores | None = None,
    teacher: Scores | None = None,
) -> RunFolder:
    """Make a run with four lines of metrics and two evaluations; finished if it has final scores."""
    student = StudentConfig.model_validate({"loss": loss})
    config = RunConfig(general=DistillConfig(root=root, name=name, seed=seed), student=student)
    folder = new_run(config, list(games))
    session = Session(folder, named(config, games), services=None)  # pyright: ignore[reportArgumentType] - none needed
    for step in range(4):
        session.learners["student"] = progress(games, 100 * step, 10.0 * step)
        for game in games:
            session.on_player(report(game, 500 * step, 10.0 * step))
        append_metrics(session, START + 10.0 * step)
    for version in (1, 2):
        for game in games:
            folder.append(EVALUATIONS, {
                "time": START, "lineage": "student", "version": version, "game": game, "purpose": "look", "block": 0,
                "updates": 150 * version, "seconds": 15.0 * version, "transitions": {game: 500},
                "scores": [3.0, 4.0, 5.0 + version], "lengths": [10, 10, 10],
            })  # fmt: skip
    if final is not None:
        teacher = teacher or {game: [10.0, 12.0, 14.0, 11.0] for game in final}
        rows = [evaluation(game, "teacher", 0, scores).to_json() for game, scores in teacher.items()]
        rows += [evaluation(game, "student", 2, scores).to_json() for game, scores in final.items()]
        folder.write_json("evaluation.json", {"evaluations": rows})
    return folder


def made_online_run(root: Path, name: str, game: str = "pong") -> RunFolder:
    """Make a stopped run with a Q-learner and a student, with one promotion."""
    config = OnlineConfig(general=TeachGeneralConfig(root=root, name=name, games=(game,)))
    folder = new_run(config, [game])
    session = Session(folder, config, services=None)  # pyright: ignore[reportArgumentType] - metrics need none
    for step in range(4):
        for lineage in (game, "student"):
            session.learners[lineage] = progress([game], 100 * step, 10.0 * step, lineage)
        session.on_player(report(game, 500 * step, 10.0 * step))
        append_metrics(session, START + 10.0 * step)
    # Version 1 of the Q-learner had given way to version 2 and was played only after the training.
    looks: list[tuple[str, int, Purpose, int]] = [(game, 2, "look", 0), (game, 2, "look", 1), ("student", 1, "look", 0)]
    for lineage, version, purpose, block in (*looks, (game, 1, "curve", 0), (game, 2, "curve", 0)):
        folder.append(EVALUATIONS, {
            "time": START, "lineage": lineage, "version": version, "game": game,
            "purpose": purpose, "block": block,
            "updates": 100 * version, "seconds": 60.0 * version, "transitions": {game: 500},
            "scores": [-20.0 + version + block, -19.0], "lengths": [10, 10],
        })  # fmt: skip
    promotion = {
        "version": 2, "parent": 1, "names": ["best"], "time": START + 90.0, "kind": "promotion", "why": "better",
        "scores": {game: {"mean": -18.5, "interval": [-19.0, -18.0], "episodes": 4}},
    }  # fmt: skip
    verdicts = {"1": {"verdict": "superseded", "why": ""}, "2": {"verdict": "promoted", "why": "better"}}
    mirror = ModelMirror(folder.path, game)
    mirror.store_decisions(Decisions.from_json({"promotions": [promotion], "verdicts": verdicts, "scores": {}}))
    return folder


def noise(seed: int, mean: float, episodes: int = 16) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 2.0, episodes).round(1).tolist()
