"""Reads the lines that runs of every kind write as they go, and brings them to one form."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from distill.protocols import STUDENT

T = TypeVar("T")

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
        learners: by line; that of a run with fixed teachers is `student`.
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
        line: of its models.
        game: that was played.
        version: which.
        block: number of the block of episodes; 0 is the first look, `CURVE` what was played after the training.
        updates: that the version had made; None if not recorded.
        seconds: of training until it was published; None if not recorded.
        scores: raw.
    """

    player: Player
    line: str
    game: str
    version: int
    block: int
    updates: int | None
    seconds: float | None
    scores: tuple[float, ...]


def read_lines(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> tuple[list[T], int]:
    """Return what the JSON lines of a file say, and how many lines could not be understood; none if it is absent."""
    if not path.exists():
        return [], 0
    rows: list[T] = []
    damaged = 0
    for line in path.read_bytes().splitlines():
        try:
            rows.append(parse(json.loads(line)))
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            damaged += 1
    return rows, damaged


def metrics_point(row: Mapping[str, Any]) -> MetricsPoint:
    """Return a line of metrics of any kind of run; raises what `read_lines` counts."""
    learners = row.get("learners", {STUDENT: row})
    return MetricsPoint(
        time=_number(row["time"]),
        learners={str(line): _learner(learner) for line, learner in learners.items()},
        collectors={str(name): _collector(collector) for name, collector in row["collectors"].items()},
        restarts={str(role): int(count) for role, count in row["restarts"].items()},
    )


def looks(row: Mapping[str, Any]) -> list[Look]:
    """Return what a line of evaluations of any kind of run holds; raises what `read_lines` counts."""
    if "line" not in row:
        return [
            Look("student", STUDENT, str(game), int(row["version"]), 0, int(row["updates"]), None, scores_of(played))
            for game, played in row["games"].items()
        ]
    line, updates, seconds = str(row["line"]), row.get("updates"), row.get("seconds")
    return [
        Look(
            player="student" if line == STUDENT else "candidate",
            line=line,
            game=str(row["game"]),
            version=int(row["version"]),
            block=int(row["block"]),
            updates=None if updates is None else int(updates),
            seconds=None if seconds is None else _number(seconds),
            scores=scores_of(row),
        )
    ]


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
