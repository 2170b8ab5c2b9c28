"""The rows of `metrics.jsonl` and `evaluations.jsonl`: what writes them, what reads them, and what mends older ones.

Format 1, of version 0.1.0: `distill run` wrote other rows than `teach` and `online`. Every reader brings them to
today's form first (`upgraded_metrics`, `upgraded_evaluations`), so nobody else knows that there was another one.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from actors.evaluation import Purpose
from cluster.models.blocks import block_of
from distill.protocols import STUDENT

if TYPE_CHECKING:  # who reads rows needs none of what is told in them
    from actors.collecting_actor import CollectorStatus
    from actors.evaluation import Evaluation, EvaluationTask
    from cluster.models.coordinator import LineageState
    from learner.status import LearnerStatus

Row = Mapping[str, Any]

Player = Literal["student", "candidate"]


@dataclass(frozen=True)
class LearnerPoint:
    """What a learner had done at one time; counts and seconds run since the beginning of the run.

    Attributes:
        updates: made.
        seconds: spent training.
        updates_per_second: of late.
        loss: by game.
        ratio: samples per inserted transition.
        inserted: transitions by game.
        sample_wait_seconds: time the learner waited for data.
        insert_wait_seconds: time the feed waited for the learner.
        nonfinite: updates skipped.
        rejected: chunks refused since the learner's process began.
        lag: by game, versions that the labels were behind; empty where there is none.
    """

    updates: int
    seconds: float
    updates_per_second: float
    loss: dict[str, float]
    ratio: float
    inserted: dict[str, int]
    sample_wait_seconds: float
    insert_wait_seconds: float
    nonfinite: int
    rejected: int
    lag: dict[str, float]


@dataclass(frozen=True)
class CollectorPoint:
    """What a collecting actor had done at one time, since its process began.

    Attributes:
        game: that it plays.
        transitions: collected.
        episodes: ended.
        seconds: by what they were spent on.
    """

    game: str
    transitions: int
    episodes: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class MetricsPoint:
    """One line of metrics.

    Attributes:
        time: seconds since 1970.
        learners: by their lineage.
        collectors: by name.
        restarts: actors started again by role, since the sitting began.
    """

    time: float
    learners: dict[str, LearnerPoint]
    collectors: dict[str, CollectorPoint]
    restarts: dict[str, int]


@dataclass(frozen=True)
class Look:
    """Episodes that one version played at one game during a run.

    Attributes:
        player: who.
        lineage: of its models.
        game: that was played.
        version: which.
        purpose: what for.
        block: number of the block of episodes for that purpose, from 0.
        updates: that the version had made; None if not recorded.
        seconds: of training until it was published; None if not recorded.
        scores: raw.
    """

    player: Player
    lineage: str
    game: str
    version: int
    purpose: Purpose
    block: int
    updates: int | None
    seconds: float | None
    scores: tuple[float, ...]


def metrics_row(
    learners: "Mapping[str, LearnerStatus]",
    states: "Mapping[str, LineageState]",
    players: "Mapping[str, CollectorStatus]",
    restarts: Mapping[str, int],
    outages: int,
) -> dict[str, Any]:
    """Return a row of metrics as it is written.

    Args:
        learners: status of every learner, by its lineage.
        states: of every lineage.
        players: status of every collecting actor, by its name.
        restarts: by role, since the sitting began.
        outages: failed tries of evaluator and coordinator to reach the registry, since the sitting began.
    """
    return {
        "time": time.time(),
        "updates": max((learner.updates for learner in learners.values()), default=0),
        "learners": {
            lineage: {
                "seconds": learner.train_seconds,
                "updates": learner.updates,
                "updates_per_second": learner.updates_per_second,
                "samples": learner.samples,
                "loss": learner.loss,
                "nonfinite_updates": learner.nonfinite_updates,
                "inserted_transitions": learner.inserted,
                "replay_transitions": learner.replay,
                "sample_to_insert_ratio": learner.ratio,
                "wait_seconds": {"sample": learner.sample_wait_seconds, "insert": learner.insert_wait_seconds},
                "rejected_chunks": learner.rejected,
                "version": learner.version,
                "lag": learner.lag,
            }
            for lineage, learner in learners.items()
        },
        "lineages": {
            lineage: {"newest": state.newest, "best": state.best, "promotions": state.promotions}
            for lineage, state in states.items()
        },
        "collectors": {
            name: {
                "game": player.game,
                "transitions": player.transitions,
                "episodes": player.episodes,
                "seconds": player.seconds,
                "teacher_version": player.teacher_version,
                "student_version": player.driver_version,
                "buffer_full": player.writer.full,
                "buffer_outages": player.writer.outages,
            }
            for name, player in players.items()
        },
        "restarts": dict(restarts),
        "registry_outages": outages,
    }


def evaluation_row(task: "EvaluationTask", evaluation: "Evaluation", published: Row) -> dict[str, Any]:
    """Return a block of episodes as it is written.

    Args:
        task: what was asked for.
        evaluation: what was played.
        published: the version's metadata; empty if nobody knows them.
    """
    return {
        "time": time.time(),
        "lineage": task.lineage,
        "version": task.version,
        "game": task.game,
        "purpose": task.purpose,
        "block": task.block,
        **{key: published[key] for key in ("updates", "seconds", "transitions") if key in published},
        "scores": list(evaluation.scores),
        "lengths": list(evaluation.lengths),
    }


def upgraded_metrics(row: Row) -> Row:
    """Return a row of metrics in today's form; `distill run` of 0.1.0 had its learner's counts in the row itself."""
    if "learners" in row:
        return {("lineages" if key == "lines" else key): value for key, value in row.items()}
    kept = {key: row[key] for key in ("time", "updates", "collectors", "restarts")}
    learner = {key: value for key, value in row.items() if key not in ("time", "collectors", "restarts")}
    return kept | {"learners": {STUDENT: learner | {"lag": {}}}, "lineages": {}}


def upgraded_evaluations(row: Row) -> list[Row]:
    """Return the blocks of episodes of a row.

    In 0.1.0 the number of a block told its purpose, and `distill run` had all games of a version in one row.
    """
    if "purpose" in row:
        return [row]
    if "games" not in row:
        purpose, block = block_of(int(row["block"]))
        kept = {("lineage" if key == "line" else key): value for key, value in row.items() if key != "fresh"}
        return [kept | {"purpose": purpose, "block": block}]
    return [
        {
            "lineage": STUDENT,
            "version": row["version"],
            "game": game,
            "purpose": "look",
            "block": 0,
            "updates": row["updates"],
            "scores": played["scores"],
            "lengths": played["lengths"],
        }
        for game, played in row["games"].items()
    ]


def evaluation_rows(rows: Iterable[Row]) -> list[Row]:
    """Return all blocks of episodes of a run's rows, those of 0.1.0 brought to today's form."""
    return [upgraded for row in rows for upgraded in upgraded_evaluations(row)]


def metrics_point(row: Mapping[str, Any]) -> MetricsPoint:
    """Return a row of metrics; raises what `read_lines` counts."""
    row = upgraded_metrics(row)
    return MetricsPoint(
        time=_number(row["time"]),
        learners={str(lineage): _learner(learner) for lineage, learner in row["learners"].items()},
        collectors={str(name): _collector(collector) for name, collector in row["collectors"].items()},
        restarts={str(role): int(count) for role, count in row["restarts"].items()},
    )


def looks(row: Mapping[str, Any]) -> list[Look]:
    """Return what a row of evaluations holds; raises what `read_lines` counts."""
    return [_look(upgraded) for upgraded in upgraded_evaluations(row)]


def _look(row: Mapping[str, Any]) -> Look:
    lineage, updates, seconds = str(row["lineage"]), row.get("updates"), row.get("seconds")
    return Look(
        player="student" if lineage == STUDENT else "candidate",
        lineage=lineage,
        game=str(row["game"]),
        version=int(row["version"]),
        purpose=_purpose(row["purpose"]),
        block=int(row["block"]),
        updates=None if updates is None else int(updates),
        seconds=None if seconds is None else _number(seconds),
        scores=scores_of(row),
    )


def _purpose(value: Any) -> Purpose:
    if value not in get_args(Purpose):
        raise ValueError(f"purpose: expected one of {', '.join(get_args(Purpose))}, found {value!r}")
    return value


def scores_of(played: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the raw scores of an evaluation.

    Raises:
        ValueError: if there are none, or one is not finite.
    """
    scores = tuple(_number(score) for score in played["scores"])
    if not scores:
        raise ValueError("an evaluation without a score")
    return scores


def superseded_left_out(points: Sequence[LearnerPoint]) -> list[LearnerPoint]:
    """Leave out what a learner did after the checkpoint from which it was resumed: it was done again."""
    kept: list[LearnerPoint] = []
    for point in points:
        while kept and kept[-1].updates > point.updates:
            kept.pop()
        kept.append(point)
    return kept


def _learner(row: Mapping[str, Any]) -> LearnerPoint:
    waits = row["wait_seconds"]
    return LearnerPoint(
        updates=int(row["updates"]),
        seconds=_number(row["seconds"]),
        updates_per_second=_number(row["updates_per_second"]),
        # A loss that is not a number is what happened, not a damaged line.
        loss={str(game): float(loss) for game, loss in row["loss"].items()},
        ratio=_number(row["sample_to_insert_ratio"]),
        inserted={str(game): int(count) for game, count in row["inserted_transitions"].items()},
        sample_wait_seconds=_number(waits["sample"]),
        insert_wait_seconds=_number(waits["insert"]),
        nonfinite=int(row["nonfinite_updates"]),
        rejected=sum(int(count) for count in row["rejected_chunks"].values()),
        lag={str(game): _number(lag) for game, lag in row.get("lag", {}).items()},
    )


def _collector(row: Mapping[str, Any]) -> CollectorPoint:
    return CollectorPoint(
        game=str(row["game"]),
        transitions=int(row["transitions"]),
        episodes=int(row["episodes"]),
        seconds={str(name): _number(seconds) for name, seconds in row["seconds"].items()},
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {value!r}")
    return number
