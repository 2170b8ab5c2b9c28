"""The picture of a run with Q-learners: scores of candidates, teachers and student, and how steady they are."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from cluster.analysis.curves import GameCurves, LastHalf, Rows
from cluster.models.ledger import read_promotions
from cluster.state.folder import EVALUATIONS, METRICS, RunFolder
from cluster.state.rows import looks, metrics_point
from distill.files import write_atomically
from distill.games import reference_score
from distill.protocols import STUDENT
from distill.scores import mean_interval

STUDENT_COLOUR, CANDIDATE_COLOUR, TEACHER_COLOUR, RANDOM_COLOUR = "#0072B2", "#999999", "#D55E00", "#666666"
_PANEL_INCHES = (7.0, 3.4)


def draw_run(folder: RunFolder) -> None:
    """Draw `picture.png` of a run: one column a game, scores above, spreads and lag below."""
    evaluations, metrics = folder.rows(EVALUATIONS, looks), folder.rows(METRICS, metrics_point)
    lines = sorted({(row["line"], row["game"]) for row in evaluations if row["line"] != STUDENT})
    has_student = any(row["line"] == STUDENT for row in evaluations)
    if not lines:
        return
    rows = 2 if has_student else 1
    size = (_PANEL_INCHES[0] * len(lines), _PANEL_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    for column, (line, game) in enumerate(lines):
        axis = figure.add_subplot(rows, len(lines), column + 1)
        curves = GameCurves.of(evaluations, read_promotions(folder.path, line), metrics, line, game)
        _draw_scores(axis, game, curves)
        if has_student:
            below = figure.add_subplot(rows, len(lines), len(lines) + column + 1)
            _draw_steadiness(below, line, game, curves, metrics)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    write_atomically(folder.path / "picture.png", image.getvalue())


def _draw_scores(axis: Axes, game: str, curves: GameCurves) -> None:
    candidates, students = curves.candidates, curves.students
    axis.plot(
        [p.minutes for p in candidates], [p.mean for p in candidates],
        color=CANDIDATE_COLOUR, marker="o", markersize=3.5, lw=1.0, label="Q-learner's candidates",
    )  # fmt: skip
    if curves.teacher:
        end = max(point.minutes for point in (*candidates, *students))
        times, scores = zip(*curves.teacher, strict=True)
        axis.step(
            (*times, max(end, times[-1])), (*scores, scores[-1]), where="post", color=TEACHER_COLOUR, label="teacher"
        )
        axis.plot(times, scores, color=TEACHER_COLOUR, marker="^", ls="none", markersize=5)
    if students:
        bands = [mean_interval(point.scores) or (point.mean, point.mean) for point in students]
        low, high = zip(*bands, strict=True)
        times = [point.minutes for point in students]
        axis.plot(times, [p.mean for p in students], color=STUDENT_COLOUR, marker="o", markersize=3.5, label="student")
        axis.fill_between(times, low, high, color=STUDENT_COLOUR, alpha=0.2, linewidth=0)
    if reference := reference_score(game):
        axis.axhline(reference.random, color=RANDOM_COLOUR, linestyle=":", label="random play")
    axis.set_title(game)
    axis.set_ylabel("raw score per episode")
    axis.set_xlabel("minutes of training")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize="small", frameon=False)


def _draw_steadiness(axis: Axes, line: str, game: str, curves: GameCurves, metrics: Rows) -> None:
    rows = [row["learners"][STUDENT] for row in metrics if STUDENT in row.get("learners", {})]
    minutes = [row["seconds"] / 60.0 for row in rows]
    q_rows = [row["learners"][line] for row in metrics if line in row.get("learners", {})]
    axis.plot(minutes, [row["updates"] for row in rows], color=STUDENT_COLOUR, label="student's updates")
    axis.plot(
        [row["seconds"] / 60.0 for row in q_rows], [row["updates"] for row in q_rows],
        color=CANDIDATE_COLOUR, label="Q-learner's updates",
    )  # fmt: skip
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel("minutes of training")
    axis.set_ylabel("updates")
    axis.spines[["top"]].set_visible(False)
    lag = axis.twinx()
    lags = [row["lag"].get(game, 0.0) for row in rows]
    lag.plot(minutes, lags, color=TEACHER_COLOUR, lw=0.8, drawstyle="steps-post", label="lag of the labels")
    # It keeps to the lower half, where no line of the other axis ends.
    lag.set_ylim(0.0, 2.0 * max(1.0, *lags, 0.0))
    lag.set_ylabel("versions")
    lag.spines[["top"]].set_visible(False)
    axis.legend(loc="upper left", fontsize="small", frameon=False)
    lag.legend(loc="lower right", fontsize="small", frameon=False)
    last = LastHalf.of(game, line, curves, metrics)
    axis.set_title(
        f"last half: student / teacher {_shown(last.ratio)}; spread, trend removed (by luck alone):\n"
        f"candidates {_shown(last.candidates_spread)} ({_shown(last.candidates_error)}),"
        f" student {_shown(last.student_spread)} ({_shown(last.student_error)})",
        fontsize="medium",
    )


def _shown(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
