"""The picture of a run with Q-learners: scores of candidates, teachers and student, and how steady they are."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from cluster.ledger import Promotion, read_promotions
from cluster.run_folder import RunFolder
from cluster.run_session import EVALUATIONS, METRICS
from distill.files import write_atomically
from distill.games import reference_score
from distill.scores import mean_interval

STUDENT, CANDIDATE, TEACHER, RANDOM = "#0072B2", "#999999", "#D55E00", "#666666"
_PANEL_INCHES = (7.0, 3.4)


@dataclass(frozen=True)
class Point:
    """The first look at one version.

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


def points_of(evaluations: Sequence[Mapping[str, Any]], line: str, game: str) -> list[Point]:
    """Return the first look at every version of a line, by time.

    Later looks are left out: they are only given to versions that are nearly as good as the best, and points of
    different size cannot be compared in how far they spread.
    """
    rows = [
        row for row in evaluations if (row["line"], row["game"], row["block"]) == (line, game, 0) and "seconds" in row
    ]
    return [
        Point(row["version"], row["seconds"] / 60.0, tuple(row["scores"]))
        for row in sorted(rows, key=lambda row: row["seconds"])
    ]


def score_curve(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Return by game `[environment steps of the game, mean of the first look]` of every version of one line."""
    curve: dict[str, list[list[float]]] = defaultdict(list)
    for row in evaluations:
        if row["block"] == 0 and "transitions" in row:
            curve[row["game"]].append([row["transitions"].get(row["game"], 0), round(float(np.mean(row["scores"])), 2)])
    return {game: sorted(points) for game, points in curve.items()}


def last_half(points: Sequence[Point]) -> list[Point]:
    """Return the points of the second half of the time that the points span from the run's beginning."""
    end = max((point.minutes for point in points), default=0.0)
    return [point for point in points if point.minutes >= end / 2.0]


def spread(points: Sequence[Point]) -> float | None:
    """Return the standard deviation of the scores of the last half, without their linear trend; None for under 4."""
    half = last_half(points)
    if len(half) < 4:
        return None
    times, scores = np.array([point.minutes for point in half]), np.array([point.mean for point in half])
    residuals = scores - np.polyval(np.polyfit(times, scores, 1), times)
    # Two degrees of freedom went into the line.
    return float(np.sqrt((residuals**2).sum() / (len(half) - 2)))


def draw_run(folder: RunFolder) -> None:
    """Draw `picture.png` of a run: one column a game, scores above, spreads and lag below."""
    evaluations, metrics = folder.rows(EVALUATIONS), folder.rows(METRICS)
    lines = sorted({(row["line"], row["game"]) for row in evaluations if row["line"] != "student"})
    has_student = any(row["line"] == "student" for row in evaluations)
    if not lines:
        return
    rows = 2 if has_student else 1
    size = (_PANEL_INCHES[0] * len(lines), _PANEL_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    for column, (line, game) in enumerate(lines):
        axis = figure.add_subplot(rows, len(lines), column + 1)
        candidates, students = points_of(evaluations, line, game), points_of(evaluations, "student", game)
        _draw_scores(axis, game, candidates, students, _promoted(folder, line, game, candidates))
        if has_student:
            below = figure.add_subplot(rows, len(lines), len(lines) + column + 1)
            _draw_steadiness(below, line, game, candidates, students, metrics)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    write_atomically(folder.path / "picture.png", image.getvalue())


def _promoted(folder: RunFolder, line: str, game: str, candidates: Sequence[Point]) -> list[tuple[float, float]]:
    """Return minutes and mean score of every promotion of a line."""
    minutes = {point.version: point.minutes for point in candidates}
    found: list[Promotion] = read_promotions(folder.path, line)
    return [
        (minutes[promotion.version], float(promotion.scores[game]["mean"]))
        for promotion in found
        if promotion.version in minutes and game in promotion.scores
    ]


def _draw_scores(
    axis: Axes,
    game: str,
    candidates: Sequence[Point],
    students: Sequence[Point],
    promoted: Sequence[tuple[float, float]],
) -> None:
    axis.plot(
        [p.minutes for p in candidates], [p.mean for p in candidates],
        color=CANDIDATE, marker="o", markersize=3.5, lw=1.0, label="Q-learner's candidates",
    )  # fmt: skip
    if promoted:
        end = max(point.minutes for point in (*candidates, *students))
        times, scores = zip(*promoted, strict=True)
        axis.step((*times, max(end, times[-1])), (*scores, scores[-1]), where="post", color=TEACHER, label="teacher")
        axis.plot(times, scores, color=TEACHER, marker="^", ls="none", markersize=5)
    if students:
        bands = [mean_interval(point.scores) or (point.mean, point.mean) for point in students]
        low, high = zip(*bands, strict=True)
        times = [point.minutes for point in students]
        axis.plot(times, [p.mean for p in students], color=STUDENT, marker="o", markersize=3.5, label="student")
        axis.fill_between(times, low, high, color=STUDENT, alpha=0.2, linewidth=0)
    if reference := reference_score(game):
        axis.axhline(reference.random, color=RANDOM, linestyle=":", label="random play")
    axis.set_title(game)
    axis.set_ylabel("raw score per episode")
    axis.set_xlabel("minutes of training")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize="small", frameon=False)


def _draw_steadiness(
    axis: Axes,
    line: str,
    game: str,
    candidates: Sequence[Point],
    students: Sequence[Point],
    metrics: Sequence[Mapping[str, Any]],
) -> None:
    rows = [row["learners"]["student"] for row in metrics if "student" in row.get("learners", {})]
    minutes = [row["seconds"] / 60.0 for row in rows]
    q_rows = [row["learners"][line] for row in metrics if line in row.get("learners", {})]
    axis.plot(minutes, [row["updates"] for row in rows], color=STUDENT, label="student's updates")
    axis.plot(
        [row["seconds"] / 60.0 for row in q_rows], [row["updates"] for row in q_rows],
        color=CANDIDATE, label="Q-learner's updates",
    )  # fmt: skip
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel("minutes of training")
    axis.set_ylabel("updates")
    axis.spines[["top"]].set_visible(False)
    lag = axis.twinx()
    lags = [row["lag"].get(game, 0.0) for row in rows]
    lag.plot(minutes, lags, color=TEACHER, lw=0.8, drawstyle="steps-post", label="lag of the labels")
    # It keeps to the lower half, where no line of the other axis ends.
    lag.set_ylim(0.0, 2.0 * max(1.0, *lags, 0.0))
    lag.set_ylabel("versions")
    lag.spines[["top"]].set_visible(False)
    axis.legend(loc="upper left", fontsize="small", frameon=False)
    lag.legend(loc="lower right", fontsize="small", frameon=False)
    spreads = {"candidates": spread(candidates), "student": spread(students)}
    text = ", ".join(f"{who} {'n/a' if value is None else f'{value:.2f}'}" for who, value in spreads.items())
    axis.set_title(f"spread of the last half, trend removed: {text}", fontsize="medium")
