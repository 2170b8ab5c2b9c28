"""The curves of a report: scores, losses, rates."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from cluster.analysis.curves import teacher_steps
from cluster.analysis.run_data import RunData
from cluster.report.drawing.chart import Level, Points, Series, line_chart
from cluster.report.drawing.html import Html
from cluster.state.rows import CollectorPoint, LearnerPoint, Look, Player
from distill.games import reference_score
from distill.protocols import STUDENT
from distill.scores import mean_interval

_PAUSE_SECONDS = 120.0
"""A longer gap between lines of metrics is a pause between two sittings."""

_RATE_SECONDS = 20.0
"""Rates are means over this time, or less in a run that has few lines of metrics."""
_LEAST_RATES = 30
T = TypeVar("T")


def score_figures(runs: Sequence[RunData], games: Sequence[str]) -> list[Html]:
    """Return one figure a game: scores during the runs, with what the students should reach."""
    by_updates = all(run.taught for run in runs)
    figures: list[Html | None] = []
    for game in games:
        series: list[Series] = []
        levels: list[Level] = []
        for number, run in enumerate(runs):
            series += _scores_of(run, number, game, by_updates=by_updates)
            teacher = run.final.get(("teacher", game))
            if teacher is not None and run.taught:
                levels.append(Level(f"{run.name}, teacher", number, teacher.mean))
        if reference := reference_score(game):
            levels.append(Level("random play", None, reference.random))
        x_label = "learner updates" if by_updates else "minutes of training"
        figures.append(line_chart(game, x_label, "raw score per episode", series, levels))
    return [figure for figure in figures if figure is not None]


def loss_figures(runs: Sequence[RunData], games: Sequence[str]) -> list[Html]:
    """Return one figure a game and kind of learner: the training loss."""
    figures: list[Html | None] = []
    for title, wanted in (("student", True), ("Q-learner", False)):
        for game in games:
            series = [
                Series(f"{run.name}, {title}", number, [(point.updates, point.loss[game]) for point in points])
                for number, run in enumerate(runs)
                for lineage in run.lineages
                if (lineage == STUDENT) is wanted
                if (points := [point for point in run.learner(lineage) if game in point.loss])
            ]
            figures.append(line_chart(f"{game}, {title}", "learner updates", "loss per observation", series, log=True))
    return [figure for figure in figures if figure is not None]


def rate_figures(runs: Sequence[RunData]) -> list[Html]:
    """Return figures of how fast learners and collecting actors were, and of how they were held together."""
    collected = [Series(run.name, number, collected_per_second(run)) for number, run in enumerate(runs) if run.metrics]
    figures: list[Html | None] = [
        _of_learners(runs, "updates per second", _updates_per_second),
        line_chart("transitions collected", "minutes since the start", "transitions per second", collected),
        _of_learners(
            runs, "samples per inserted transition", lambda points: [(p.seconds / 60.0, p.ratio) for p in points]
        ),
    ]
    if any(point.lag for run in runs for lineage in run.lineages for point in run.learner(lineage)):
        figures.append(_of_learners(runs, "versions behind the newest", _lag))
    return [figure for figure in figures if figure is not None]


def collected_per_second(run: RunData) -> list[tuple[float, float]]:
    """Return minutes since the first line of metrics, and transitions per second of all collecting actors together."""
    rates: list[tuple[float, float]] = []
    for before, after in pairwise(_spaced(run.metrics, lambda point: point.time)):
        passed = after.time - before.time
        if 0.0 < passed < _PAUSE_SECONDS:
            gained = sum(
                transitions_gained(before.collectors.get(name), collector)
                for name, collector in after.collectors.items()
            )
            rates.append(((after.time - run.metrics[0].time) / 60.0, gained / passed))
    return rates


def transitions_gained(before: CollectorPoint | None, after: CollectorPoint) -> int:
    """Return what an actor collected between two points; one that was started again counts from 0."""
    if before is None or after.transitions < before.transitions:
        return after.transitions
    return after.transitions - before.transitions


def _scores_of(run: RunData, number: int, game: str, *, by_updates: bool) -> list[Series]:
    students = _drawn(run, game, "student", by_updates=by_updates)
    candidates = _drawn(run, game, "candidate", by_updates=by_updates)
    series: list[Series] = []
    if candidates:
        # With a student in the figure the candidates are only where its teachers come from.
        style = "markers" if run.distils else "marked"
        points = [(x, float(np.mean(look.scores))) for x, look in candidates]
        series.append(Series(f"{run.name}, Q-learner's candidate", number, points, style=style))
    for lineage, promotions in run.promotions.items():
        if lineage == STUDENT:
            continue
        mine = [look for look in run.looks if (look.lineage, look.game) == (lineage, game)]
        timeline = run.timeline(lineage)
        steps = teacher_steps(((look.version, look.purpose, look.scores) for look in mine), promotions, timeline)
        if steps:
            series.append(Series(f"{run.name}, best Q-learner so far", number, steps, style="steps"))
    if students:
        points = [(x, float(np.mean(look.scores))) for x, look in students]
        bands = [
            mean_interval(look.scores) or (mean, mean) for (_, look), (_, mean) in zip(students, points, strict=True)
        ]
        series.append(Series(f"{run.name}, student", number, points, bands, "marked"))
    return series


def _drawn(run: RunData, game: str, player: Player, *, by_updates: bool) -> list[tuple[float, Look]]:
    """Return x and evaluation of every version."""
    found: list[tuple[float, Look]] = []
    for look in run.drawn:
        if (look.player, look.game) == (player, game):
            seconds = run.seconds_at(look)
            x = look.updates if by_updates else None if seconds is None else seconds / 60.0
            if x is not None:
                found.append((float(x), look))
    return sorted(found, key=lambda pair: pair[0])


def _of_learners(
    runs: Sequence[RunData], title: str, values: Callable[[Sequence[LearnerPoint]], Points]
) -> Html | None:
    series: list[Series] = []
    for number, run in enumerate(runs):
        for lineage in run.lineages:
            label = f"{run.name}, {'student' if lineage == STUDENT else f'Q-learner {lineage}'}"
            style = "line" if lineage == STUDENT else "dashed"
            series.append(Series(label, number, values(run.learner(lineage)), style=style))
    return line_chart(title, "minutes of training", title, series)


def _updates_per_second(points: Sequence[LearnerPoint]) -> list[tuple[float, float]]:
    return [
        (after.seconds / 60.0, (after.updates - before.updates) / (after.seconds - before.seconds))
        for before, after in pairwise(_spaced(points, lambda point: point.seconds))
    ]


def _spaced(points: Sequence[T], seconds: Callable[[T], float]) -> list[T]:
    """Leave out points until there is time between them: in a few seconds, chunks come by ones and twos."""
    if not points:
        return []
    least = min(_RATE_SECONDS, (seconds(points[-1]) - seconds(points[0])) / _LEAST_RATES)
    kept = [points[0]]
    for point in points[1:]:
        if seconds(point) - seconds(kept[-1]) > least:
            kept.append(point)
    return kept


def _lag(points: Sequence[LearnerPoint]) -> list[tuple[float, float]]:
    return [(point.seconds / 60.0, max(point.lag.values())) for point in points if point.lag]
