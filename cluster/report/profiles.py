"""The distribution of episode scores at the end of runs, which means and intervals hide."""

from collections.abc import Sequence

import numpy as np

from cluster.analysis.run_data import RunData
from cluster.report.drawing.chart import Points, Series, line_chart
from cluster.report.drawing.html import Html


def profile_figures(runs: Sequence[RunData], games: Sequence[str]) -> list[Html]:
    """Return one figure a game: which share of the episodes of student and teacher scored above any value."""
    figures: list[Html | None] = []
    for game in games:
        series = [
            Series(f"{run.name}, {who}", number, profile(score.scores), style="line" if who == "student" else "dashed")
            for number, run in enumerate(runs)
            for who in ("student", "teacher")
            if (score := run.final.get((who, game)))
        ]
        title = f"{game}, episodes at the end"
        figures.append(line_chart(title, "raw score", "share of episodes above it", series))
    return [figure for figure in figures if figure is not None]


def profile(scores: Sequence[float]) -> Points:
    """Return the corners of the step function that maps a value to the share of scores above it."""
    values, counts = np.unique(np.asarray(scores, np.float64), return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    shares = 1.0 - below / len(scores)
    corners: list[tuple[float, float]] = []
    for value, before, after in zip(values, shares, shares[1:], strict=False):
        corners += [(float(value), float(before)), (float(value), float(after))]
    return corners
