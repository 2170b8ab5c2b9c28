"""How good student and teacher are over time, by game: from evaluations, promotions and model cards."""

import functools
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from cluster.analysis.curves import Point, Steps, ratio_then
from distill.games import reference_score
from distill.scores import mean_interval


def score_document(game: str, students: Sequence[Point], candidates: Sequence[Point], teacher: Steps) -> dict[str, Any]:
    """Return the curves of one game for the page.

    Args:
        game: ROM name.
        students: evaluations of the student.
        candidates: evaluations of a Q-learner's candidates.
        teacher: minutes and mean score of the teacher from then on, by time.
    """
    reference = reference_score(game)
    return {
        "student": [_point(point) for point in students],
        "candidate": [_point(point) for point in candidates],
        "teacher": [list(step) for step in teacher],
        "random": None if reference is None else reference.random,
        "ratio": [
            [round(point.minutes, 3), ratio]
            for point in students
            if (ratio := ratio_then(game, point, teacher)) is not None
        ],
    }


def mean_ratio(games: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return the mean of the games' ratios at the times at which all games have one."""
    by_time: dict[float, list[float]] = {}
    for game in games:
        for minutes, ratio in game["scores"]["ratio"]:
            by_time.setdefault(minutes, []).append(ratio)
    return [[minutes, fmean(ratios)] for minutes, ratios in sorted(by_time.items()) if len(ratios) == len(games)]


def _point(point: Point) -> dict[str, Any]:
    low, high = _interval(point.scores) or (point.mean, point.mean)
    return {
        "minutes": round(point.minutes, 3),
        "mean": point.mean,
        "low": low,
        "high": high,
        "version": point.version,
        "episodes": len(point.scores),
    }


@functools.lru_cache(maxsize=10_000)
def _interval(scores: tuple[float, ...]) -> tuple[float, float] | None:
    """Return the interval of a mean; the bootstrap takes milliseconds, and the page asks every few seconds."""
    return mean_interval(scores)
