"""What a run shows at its end: the table of ratios, for terminal and Markdown, and the learning curves as PNG."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FormatStrFormatter, LogLocator, NullFormatter
from rich.console import Group
from rich.styled import Styled
from rich.table import Table

from distill.errors import RunError
from distill.files import write_atomically
from distill.games import reference_score
from distill.scores import Comparison, Interval, mean_interval, summarise

_STUDENT, _TEACHER, _RANDOM = "#0072B2", "#D55E00", "#666666"
# Okabe and Ito's colours, told apart with every kind of colour vision; line styles carry on where they end.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")
_MAX_COLUMNS = 4
_PANEL_INCHES = (4.2, 3.1)
_HEADINGS = ("game", "teacher", "student", "ratio", "95 % interval")
_NONE = "n/a"


def result_table(comparisons: Sequence[Comparison]) -> tuple[Group, str]:
    """Return the table `game | teacher | student | ratio | 95 % interval` for a terminal, and the same as Markdown.

    A column with the paper's raw ratio is added if a game's ratio is not student / teacher. The last row is the
    geometric mean; notes below say how a ratio was scaled and why one is missing.
    """
    both = any(c.ratio.scale == "above_random" for c in comparisons)
    headings = (*_HEADINGS, "raw ratio") if both else _HEADINGS
    total = summarise(comparisons)
    rows = [_row(c) for c in comparisons]
    rows.append(("geometric mean", "", "", _ratio(total.value), _interval(total.interval), ""))
    rows = [row[: len(headings)] for row in rows]
    notes = [c.ratio.reason for c in comparisons if c.ratio.reason]
    if both:
        games = ", ".join(c.game for c in comparisons if c.ratio.scale == "above_random")
        notes.insert(0, f"{games}: the ratio is (student - random) / (teacher - random)")
    if any(c.ratio.raw is None for c in comparisons):
        notes.append("the raw ratio, student / teacher, says nothing where the teacher's mean is not positive")
    if total.reason:
        notes.append(f"geometric mean: {total.reason}")
    elif total.left_out:
        notes.append(
            f"geometric mean: of {total.games} of {len(comparisons)} games, without {', '.join(total.left_out)}"
        )
    return _rich(headings, rows, notes), _markdown(headings, rows, notes)


def _row(comparison: Comparison) -> tuple[str, ...]:
    ratio = comparison.ratio
    return (
        comparison.game,
        f"{comparison.teacher.mean:,.1f}",
        f"{comparison.student.mean:,.1f}",
        _ratio(ratio.value),
        _interval(ratio.interval),
        _ratio(ratio.raw) if ratio.scale == "above_random" else "",
    )


def _ratio(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _interval(interval: Interval | None) -> str:
    return _NONE if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _rich(headings: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> Group:
    table = Table()
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "game" else "right", no_wrap=True)
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_section()
    table.add_row(*rows[-1], style="bold")
    return Group(table, *(Styled(note, "table.caption") for note in notes))


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    rule = ["---", *["---:"] * (len(headings) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (headings, rule, *rows)]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)]) + "\n"


def learning_curve(
    path: Path,
    evaluations: Sequence[Mapping[str, Any]],
    teacher_scores: Mapping[str, Sequence[float]],
    training_rows: Sequence[Mapping[str, Any]],
) -> None:
    """Draw one panel per game, score over updates, and one of the loss; `path` appears whole or not at all.

    Args:
        path: PNG to write; its folder must exist.
        evaluations: `{"updates": int, "version": int, "games": {game: {"scores": [...]}}}` each, raw scores.
        teacher_scores: raw episode scores of each game's teacher; its games are the panels, in this order.
        training_rows: `{"updates": int, "seconds": float, "loss": {game: float}}` each.

    Raises:
        RunError: if the file cannot be written.
    """
    panels = len(teacher_scores) + 1
    columns = min(_MAX_COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.6), dpi=110, layout="constrained")
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(panels)]
    for axis, (game, scores) in zip(axes, teacher_scores.items(), strict=False):
        _draw_scores(axis, game, evaluations, scores)
    _draw_loss(axes[-1], list(teacher_scores), training_rows)
    for axis in axes:
        axis.set_xlabel("learner updates")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    keys = {label: line for a in axes[:-1] for line, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys.keys(), loc="outside upper center", ncols=len(keys) or 1, frameon=False)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise RunError(f"learning curve {path}: could not be written ({error}); check the folder") from error


def _draw_scores(axis: Axes, game: str, evaluations: Sequence[Mapping[str, Any]], teacher: Sequence[float]) -> None:
    points = [
        (int(evaluation["updates"]), cast(Sequence[float], evaluation["games"][game]["scores"]))
        for evaluation in sorted(evaluations, key=lambda evaluation: int(evaluation["updates"]))
        if evaluation["games"].get(game, {}).get("scores")
    ]
    if points:
        updates = [at for at, _ in points]
        means = [float(np.mean(scores)) for _, scores in points]
        bounds = [mean_interval(scores) or (mean, mean) for (_, scores), mean in zip(points, means, strict=True)]
        low, high = zip(*bounds, strict=True)
        axis.plot(updates, means, color=_STUDENT, marker="o", markersize=3.5, label="student, mean and 95 % interval")
        axis.fill_between(updates, low, high, color=_STUDENT, alpha=0.2, linewidth=0)
    if teacher:
        axis.axhline(float(np.mean(teacher)), color=_TEACHER, linestyle="--", label="teacher, mean and 95 % interval")
        if interval := mean_interval(teacher):
            axis.axhspan(*interval, color=_TEACHER, alpha=0.15, linewidth=0)
    if reference := reference_score(game):
        axis.axhline(reference.random, color=_RANDOM, linestyle=":", label="random play")
    axis.set_title(game)
    axis.set_ylabel("raw score per episode")


def _draw_loss(axis: Axes, games: Sequence[str], training_rows: Sequence[Mapping[str, Any]]) -> None:
    drawn: list[float] = []
    for index, game in enumerate(games):
        points = [(row["updates"], row["loss"][game]) for row in training_rows if game in row["loss"]]
        points = [(at, loss) for at, loss in points if math.isfinite(loss)]
        if not points:
            continue
        style = _LINE_STYLES[index // len(_PALETTE) % len(_LINE_STYLES)]
        axis.plot(*zip(*points, strict=True), color=_PALETTE[index % len(_PALETTE)], ls=style, lw=1.2, label=game)
        drawn += [loss for _, loss in points]
    if drawn and min(drawn) > 0.0:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
        if max(drawn) < 100.0 * min(drawn):  # powers of ten alone would leave the axis with one label or none
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    if drawn:
        axis.legend(fontsize="x-small", frameon=False, ncols=1 + (len(games) > 4))
    axis.set_title("training loss")
    axis.set_ylabel("loss per observation")
