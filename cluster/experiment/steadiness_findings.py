"""Tells how steady online students are beside the Q-learners that they learn from."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from cluster.analysis.aggregates import probability_of_improvement
from cluster.experiment.blocks import Block, Chart, Findings, Grid, Mark, Sentence, bounds, number
from cluster.experiment.score_rows import ScoreRow
from cluster.experiment.scores import Scores
from distill.scores import geometric_mean
from distill.statistics import Estimate, nested_estimate

_UNIT = "student's spread / Q-learner's"


def steadiness_findings(scores: Scores) -> Findings:
    """Return tables and charts of the last halves of online trainings."""
    students = [row for row in scores.rows if row.player == "student" and row.last_half is not None]
    rows = [_row(scores, row) for row in sorted(students, key=lambda row: (row.game, row.seed))]
    head = (
        "game", "seed", "Q-learner's best", "student", "student / teacher, last half", "spread of candidates (luck)",
        "spread of students (luck)", _UNIT,
    )  # fmt: skip
    by_game = {game: _factors(students, game) for game in scores.games}
    known = {game: factors for game, factors in by_game.items() if factors}
    blocks: list[Block] = [Grid("Every training", head, rows, 1)]
    charts: list[Chart] = []
    if known:
        estimates = {game: _estimate(factors) for game, factors in known.items()}
        blocks.append(
            Grid(
                f"{_UNIT}, geometric mean over seeds [95 % over seeds]",
                ("game", "seeds", "factor"),
                [
                    (game, str(len(known[game])), number(e.value, ".2f") + bounds(e.interval, ".2f"))
                    for game, e in estimates.items()
                ],
            )
        )
        blocks.append(_verdict(known, students))
        marks = [Mark(game, e.value, e.interval, known[game]) for game, e in estimates.items()]
        charts = [Chart("last half of the training", _UNIT, marks, 1.0)]
    return Findings(blocks, charts)


def _row(scores: Scores, student: ScoreRow) -> tuple[str, ...]:
    last = student.last_half or {}
    q_learner = next(r for r in scores.rows if (r.cell, r.game, r.player) == (student.cell, student.game, "q_learner"))
    return (
        student.game,
        str(student.seed),
        number(fmean(q_learner.scores)),
        number(fmean(student.scores)),
        number(last.get("ratio"), ".2f"),
        f"{number(last.get('candidates_spread'), '.2f')} ({number(last.get('candidates_error'), '.2f')})",
        f"{number(last.get('student_spread'), '.2f')} ({number(last.get('student_error'), '.2f')})",
        number(_factor(last), ".2f"),
    )


def _factor(last: Mapping[str, float | None]) -> float | None:
    student, candidates = last.get("student_spread"), last.get("candidates_spread")
    return student / candidates if student is not None and candidates else None


def _factors(students: Sequence[ScoreRow], game: str) -> list[float]:
    found = (_factor(row.last_half or {}) for row in students if row.game == game)
    return [factor for factor in found if factor is not None and factor > 0.0]


def _estimate(factors: Sequence[float]) -> Estimate:
    """Return the geometric mean of a game's factors; a training is one observation."""
    value = geometric_mean(factors)
    assert value is not None, "factors are positive"
    logarithms = nested_estimate([[[math.log(factor)] for factor in factors]], lambda drawn: drawn[0].mean(axis=-1))
    interval = logarithms.interval and (math.exp(logarithms.interval[0]), math.exp(logarithms.interval[1]))
    return Estimate(value, interval)


def _verdict(known: Mapping[str, Sequence[float]], students: Sequence[ScoreRow]) -> Sentence:
    logarithms = [[[math.log(factor)] for factor in factors] for factors in known.values()]
    found = nested_estimate(logarithms, lambda drawn: np.mean([d.mean(axis=-1) for d in drawn], axis=0))
    interval = found.interval
    games = [[_spreads(students, game, who) for game in known] for who in ("candidates_spread", "student_spread")]
    likely = probability_of_improvement(*games)
    factor = f"{math.exp(found.value):.2f}" + (
        f" [{math.exp(interval[0]):.2f}, {math.exp(interval[1]):.2f}]" if interval else ""
    )
    if interval is None:
        verdict = "which one training a game cannot tell from luck"
    elif interval[1] < 0.0:
        verdict = "as the paper says"
    elif interval[0] > 0.0:
        verdict = "which DISAGREES with the paper"
    else:
        verdict = "which does not decide it"
    return Sentence(
        f"The paper says that the student is much steadier. Here its spread is {factor} times that of the Q-learner's"
        f" candidates over {len(known)} games, {verdict}. The probability that a training's candidates spread further"
        f" than its students is {likely.value:.2f}{bounds(likely.interval, '.2f')}."
    )


def _spreads(students: Sequence[ScoreRow], game: str, which: str) -> list[float]:
    found = ((row.last_half or {}).get(which) for row in students if row.game == game)
    return [value for value in found if value is not None]
