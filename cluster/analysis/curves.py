"""What the scores of a run say over time: curves, a teacher that changes as steps, ratio and spread."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar, cast

import numpy as np

from actors.evaluation import Purpose
from cluster.models.decisions import Promotion
from distill.protocols import STUDENT
from distill.scores import score_ratio

FEWEST_POINTS = 4
"""Versions in a last half below which nothing is said of how far they spread."""

T = TypeVar("T")
Rows = Sequence[Mapping[str, Any]]
Steps = Sequence[tuple[float, float]]
"""Minutes and mean score of a teacher from then on, by time."""


@dataclass(frozen=True)
class Point:
    """Episodes of one version: those that it played for the curves, or else its first look.

    Attributes:
        version: which.
        minutes: of training when it was published.
        scores: raw episode scores.
    """

    version: int
    minutes: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))


def drawn(evaluations: Iterable[tuple[tuple[str, str, int], Purpose, int, T]]) -> list[T]:
    """Return one evaluation of every version at a game: what it played for the curves, or else its first look.

    Later looks are left out: they are only given to versions that are nearly as good as the best, and points of
    different size cannot be compared in how far they spread.

    Args:
        evaluations: lineage, game and version, purpose and number of the block, and the evaluation; in any order.
    """
    found: dict[tuple[str, str, int], T] = {}
    for version, purpose, block, evaluation in evaluations:
        if purpose == "curve" or (purpose == "look" and block == 0 and version not in found):
            found[version] = evaluation
    return list(found.values())


def _drawn_rows(evaluations: Rows) -> list[Mapping[str, Any]]:
    return drawn(
        ((row["lineage"], row["game"], row["version"]), row["purpose"], row["block"], row) for row in evaluations
    )


def points_of(evaluations: Rows, lineage: str, game: str) -> list[Point]:
    """Return the point of every version of a lineage, by time."""
    rows = [
        row for row in _drawn_rows(evaluations) if (row["lineage"], row["game"]) == (lineage, game) and "seconds" in row
    ]
    return [
        Point(row["version"], row["seconds"] / 60.0, tuple(row["scores"]))
        for row in sorted(rows, key=lambda row: row["seconds"])
    ]


def placed(evaluations: Rows, metrics: Rows) -> list[Mapping[str, Any]]:
    """Return evaluations with the seconds of training after which their versions were published.

    Rows of `distill run` of version 0.1.0 know only their updates; what has neither is left out.

    Args:
        evaluations: rows of evaluations.
        metrics: rows of metrics, which say when a learner had made how many updates.
    """
    found: list[Mapping[str, Any]] = []
    for row in evaluations:
        if "seconds" in row:
            found.append(row)
            continue
        learners = [metric["learners"][row["lineage"]] for metric in metrics if row["lineage"] in metric["learners"]]
        if learners and "updates" in row:
            points: list[tuple[int, float]] = [(learner["updates"], learner["seconds"]) for learner in learners]
            updates, seconds = zip(*points, strict=True)
            found.append({**row, "seconds": float(np.interp(cast(int, row["updates"]), updates, seconds))})
    return found


def score_curve(evaluations: Rows) -> dict[str, list[list[float]]]:
    """Return by game `[environment steps of the game, mean]` of every version of one lineage."""
    curve: dict[str, list[list[float]]] = defaultdict(list)
    for row in _drawn_rows(evaluations):
        if "transitions" in row:
            scores: list[float] = row["scores"]
            curve[row["game"]].append([row["transitions"].get(row["game"], 0), round(float(np.mean(scores)), 2)])
    return {game: sorted(points) for game, points in curve.items()}


def last_half(points: Sequence[Point]) -> list[Point]:
    """Return the points of the second half of the time that the points span from the run's beginning."""
    end = max((point.minutes for point in points), default=0.0)
    return [point for point in points if point.minutes >= end / 2.0]


def spread(points: Sequence[Point]) -> float | None:
    """Return the standard deviation of the scores of the last half, without their linear trend; None for under four."""
    half = last_half(points)
    if len(half) < FEWEST_POINTS:
        return None
    times, scores = np.array([point.minutes for point in half]), np.array([point.mean for point in half])
    residuals = scores - np.polyval(np.polyfit(times, scores, 1), times)
    # Two degrees of freedom went into the line.
    return float(np.sqrt((residuals**2).sum() / (len(half) - 2)))


def standard_error(points: Sequence[Point]) -> float | None:
    """Return the root mean square of the standard errors of the last half's means; None as for `spread`, or unknown.

    It is the spread that the luck of the episodes alone makes, if the versions are all equally good. One episode has
    no standard error.
    """
    half = last_half(points)
    if len(half) < FEWEST_POINTS or any(len(point.scores) < 2 for point in half):
        return None
    return float(np.sqrt(fmean(np.var(point.scores, ddof=1) / len(point.scores) for point in half)))


@dataclass(frozen=True)
class Timeline:
    """When a learner had trained for how long, from lines of metrics; empty before the first.

    Attributes:
        times: seconds since 1970, rising.
        minutes: of training by then.
    """

    times: Sequence[float]
    minutes: Sequence[float]

    @classmethod
    def of(cls, metrics: Rows, lineage: str) -> "Timeline":
        """Read it from lines of `metrics.jsonl`.

        Args:
            metrics: oldest first.
            lineage: of the learner.
        """
        rows = [row for row in metrics if lineage in row.get("learners", {})]
        return cls([row["time"] for row in rows], [row["learners"][lineage]["seconds"] / 60.0 for row in rows])

    def at(self, time: float) -> float | None:
        """Return the minutes of training at a time, None if nothing is known of any."""
        return float(np.interp(time, self.times, self.minutes)) if self.times else None


def teacher_steps(
    blocks: Iterable[tuple[int, Purpose, Sequence[float]]], promotions: Sequence[Promotion], timeline: Timeline
) -> list[tuple[float, float]]:
    """Return minutes and mean score of every best model of a lineage at one game, from when on it was that, by time.

    The mean is that of the episodes that it played once it was the best, since the looks that promoted it flatter it;
    of the looks only until there are others. A roll-back is a step like any other.

    Args:
        blocks: version, purpose and raw scores of everything that the lineage's models have played.
        promotions: of the lineage, roll-backs among them.
        timeline: of the lineage's learner.
    """
    looks, others = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    for version, purpose, scores in blocks:
        (looks if purpose == "look" else others)[version].extend(scores)
    steps: list[tuple[float, float]] = []
    for promotion in promotions:
        minutes = timeline.at(promotion.time)
        scores = others.get(promotion.version) or looks.get(promotion.version)
        if minutes is not None and scores:
            steps.append((minutes, fmean(scores)))
    return sorted(steps, key=lambda step: step[0])


def ratio_then(game: str, point: Point, teacher: Steps) -> float | None:
    """Return a student's ratio to what its teacher was then, None before there was one or if it gives no scale."""
    index = bisect_right([minutes for minutes, _ in teacher], point.minutes) - 1
    return None if index < 0 else score_ratio(game, point.mean, teacher[index][1]).value


@dataclass(frozen=True)
class GameCurves:
    """Scores of one game over time.

    Attributes:
        candidates: the Q-learner's; none where the teacher is a fixed file.
        students: the student's versions; none in a run without a student.
        teacher: the best candidate so far.
    """

    candidates: Sequence[Point]
    students: Sequence[Point]
    teacher: Steps

    @classmethod
    def of(
        cls, evaluations: Rows, promotions: Sequence[Promotion], metrics: Rows, lineage: str | None, game: str
    ) -> "GameCurves":
        """Sort a run's evaluations into curves.

        Args:
            evaluations: lines of `evaluations.jsonl`.
            promotions: of `lineage`, roll-backs among them.
            metrics: lines of `metrics.jsonl`, which say when a promotion was.
            lineage: the lineage of the game's Q-learner, None if it has none.
            game: ROM name.
        """
        students = points_of(evaluations, STUDENT, game)
        if lineage is None:
            return cls([], students, [])
        blocks = [
            (row["version"], row["purpose"], row["scores"])
            for row in evaluations
            if (row["lineage"], row["game"]) == (lineage, game)
        ]
        steps = teacher_steps(blocks, promotions, Timeline.of(metrics, lineage))
        return cls(points_of(evaluations, lineage, game), students, steps)


@dataclass(frozen=True)
class LastHalf:
    """How well and how steadily a student followed its teacher in the last half of a run.

    Attributes:
        ratio: mean of the student's ratios to what the best teacher was then; None without any.
        student_spread: see `spread`, of the student's versions.
        candidates_spread: of the Q-learner's candidates.
        student_error: see `standard_error`: the part of the student's spread that is luck.
        candidates_error: of the candidates' spread.
        student_updates: updates of the student's learner in the last half of its time.
        q_learner_updates: of the Q-learner, likewise.
    """

    ratio: float | None
    student_spread: float | None
    candidates_spread: float | None
    student_error: float | None
    candidates_error: float | None
    student_updates: int
    q_learner_updates: int

    @classmethod
    def of(cls, game: str, lineage: str, curves: GameCurves, metrics: Rows) -> "LastHalf":
        """Measure it.

        Args:
            game: ROM name.
            lineage: the lineage of the game's Q-learner.
            curves: the game's.
            metrics: lines of `metrics.jsonl`.
        """
        ratios = [ratio_then(game, point, curves.teacher) for point in last_half(curves.students)]
        known = [ratio for ratio in ratios if ratio is not None]
        return cls(
            ratio=fmean(known) if known else None,
            student_spread=spread(curves.students),
            candidates_spread=spread(curves.candidates),
            student_error=standard_error(curves.students),
            candidates_error=standard_error(curves.candidates),
            student_updates=_updates_of_last_half(metrics, STUDENT),
            q_learner_updates=_updates_of_last_half(metrics, lineage),
        )


def _updates_of_last_half(metrics: Rows, lineage: str) -> int:
    learners = [row["learners"][lineage] for row in metrics if lineage in row.get("learners", {})]
    if not learners:
        return 0
    columns: list[list[float]] = [[row[key] for row in learners] for key in ("seconds", "updates")]
    seconds, updates = columns
    return round(updates[-1] - float(np.interp(seconds[-1] / 2.0, seconds, updates)))
