"""The picture of a run: scores of candidates, teachers and student, the losses, and how steady a student is."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FormatStrFormatter, LogLocator, NullFormatter

from cluster.analysis.curves import GameCurves, LastHalf, Rows, placed
from cluster.analysis.panel import Canvas, Panel
from cluster.models.lineage import Lineage
from cluster.models.promotions import read_promotions
from cluster.state.folder import PICTURE, RunFolder
from distill.errors import RunError
from distill.files import write_atomically
from distill.games import reference_score
from distill.protocols import STUDENT
from distill.scores import mean_interval

STUDENT_COLOUR, CANDIDATE_COLOUR, TEACHER_COLOUR, RANDOM_COLOUR = "#0072B2", "#999999", "#D55E00", "#666666"
# Okabe and Ito's colours, told apart with every kind of colour vision; line styles carry on where they end.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")
_MAX_COLUMNS = 4
_PANEL_INCHES = (5.4, 3.3)


def draw_run(
    folder: RunFolder,
    lineages: Sequence[Lineage],
    teachers: Mapping[str, Sequence[float]],
    evaluations: Rows,
    metrics: Rows,
) -> None:
    """Draw a run: a panel of scores for every game, how steady an online student is, and one of the losses.

    Args:
        folder: the run's, into which the picture is written.
        lineages: of the run.
        teachers: raw scores of every fixed teacher, by game; none where Q-learners teach.
        evaluations: rows of evaluations.
        metrics: rows of metrics.

    Raises:
        RunError: if the file cannot be written.
    """
    candidates = {game: lineage for lineage in lineages if lineage.who == "candidate" for game in lineage.games}
    games = list(dict.fromkeys(game for lineage in lineages for game in lineage.games))
    online = bool(candidates) and any(lineage.who == "student" for lineage in lineages)
    panels = len(games) * (2 if online else 1) + 1
    columns = min(_MAX_COLUMNS, len(games) if online else panels)
    rows = math.ceil(panels / columns)
    size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes: list[Panel] = [figure.add_subplot(rows, columns, index + 1) for index in range(panels)]
    evaluations = placed(evaluations, metrics)
    for index, game in enumerate(games):
        name = candidates[game].name if game in candidates else None
        promotions = [] if name is None else read_promotions(folder.path, name)
        curves = GameCurves.of(evaluations, promotions, metrics, name, game)
        _draw_scores(axes[index], game, curves, teachers.get(game, ()))
        if online and name is not None:
            _draw_steadiness(axes[len(games) + index], name, game, curves, metrics)
    _draw_losses(axes[-1], [lineage.name for lineage in lineages], games, metrics)
    image = io.BytesIO()
    cast(Canvas, FigureCanvasAgg(figure)).print_png(image)
    path = folder.path / PICTURE
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise RunError(f"learning curves {path}: cannot be written: {error}; check the folder") from error


def _draw_scores(axis: Panel, game: str, curves: GameCurves, teacher: Sequence[float]) -> None:
    candidates = curves.candidates
    if candidates:
        axis.plot(
            [p.minutes for p in candidates], [p.mean for p in candidates],
            color=CANDIDATE_COLOUR, marker="o", markersize=3.5, lw=1.0, label="Q-learner's candidates",
        )  # fmt: skip
    if curves.teacher:
        end = max(point.minutes for point in (*candidates, *curves.students))
        times, scores = zip(*curves.teacher, strict=True)
        axis.step(
            (*times, max(end, times[-1])), (*scores, scores[-1]), where="post", color=TEACHER_COLOUR, label="teacher"
        )
        axis.plot(times, scores, color=TEACHER_COLOUR, marker="^", ls="none", markersize=5)
    if teacher:
        mean = sum(teacher) / len(teacher)
        axis.axhline(mean, color=TEACHER_COLOUR, linestyle="--", label="teacher, mean and 95 % interval")
        if interval := mean_interval(teacher):
            axis.axhspan(*interval, color=TEACHER_COLOUR, alpha=0.15, linewidth=0)
    if curves.students:
        bands = [mean_interval(point.scores) or (point.mean, point.mean) for point in curves.students]
        low, high = zip(*bands, strict=True)
        times = [point.minutes for point in curves.students]
        means = [point.mean for point in curves.students]
        axis.plot(times, means, color=STUDENT_COLOUR, marker="o", markersize=3.5, label="student")
        axis.fill_between(times, low, high, color=STUDENT_COLOUR, alpha=0.2, linewidth=0)
    if reference := reference_score(game):
        axis.axhline(reference.random, color=RANDOM_COLOUR, linestyle=":", label="random play")
    axis.set_title(game)
    axis.set_ylabel("raw score per episode")
    _finish(axis)
    axis.legend(fontsize="small", frameon=False)


def _draw_steadiness(axis: Panel, lineage: str, game: str, curves: GameCurves, metrics: Rows) -> None:
    rows = [row["learners"][STUDENT] for row in metrics if STUDENT in row["learners"]]
    minutes = [row["seconds"] / 60.0 for row in rows]
    q_rows = [row["learners"][lineage] for row in metrics if lineage in row["learners"]]
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
    last = LastHalf.of(game, lineage, curves, metrics)
    axis.set_title(
        f"last half: student / teacher {_shown(last.ratio)}; spread, trend removed (by luck alone):\n"
        f"candidates {_shown(last.candidates_spread)} ({_shown(last.candidates_error)}),"
        f" student {_shown(last.student_spread)} ({_shown(last.student_error)})",
        fontsize="medium",
    )


def _draw_losses(axis: Panel, lineages: Sequence[str], games: Sequence[str], metrics: Rows) -> None:
    drawn: list[float] = []
    learners = [(lineage, game) for lineage in lineages for game in games]
    for lineage, game in learners:
        rows = [row["learners"][lineage] for row in metrics if lineage in row["learners"]]
        points = [(row["seconds"] / 60.0, row["loss"][game]) for row in rows if game in row["loss"]]
        points = [(at, loss) for at, loss in points if math.isfinite(loss)]
        if not points:
            continue
        index = len(axis.lines)
        style = _LINE_STYLES[index // len(_PALETTE) % len(_LINE_STYLES)]
        label = game if len(lineages) == 1 else f"{game}, {lineage if lineage == STUDENT else 'Q-learner'}"
        axis.plot(*zip(*points, strict=True), color=_PALETTE[index % len(_PALETTE)], ls=style, lw=1.2, label=label)
        drawn += [loss for _, loss in points]
    if drawn and min(drawn) > 0.0:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
        if max(drawn) < 100.0 * min(drawn):  # powers of ten alone would leave the axis with one label or none
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    if drawn:
        axis.legend(fontsize="x-small", frameon=False, ncols=1 + (len(axis.lines) > 4))
    axis.set_title("training loss")
    axis.set_ylabel("loss per observation")
    _finish(axis)


def _finish(axis: Panel) -> None:
    axis.set_xlabel("minutes of training")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _shown(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
