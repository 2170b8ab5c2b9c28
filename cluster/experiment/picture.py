"""Draws the plot of an experiment: values with 95 % intervals, every seed as a dot, the paper's figures beside them."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cluster.analysis.panel import Canvas, Panel
from cluster.analysis.picture import RANDOM_COLOUR, STUDENT_COLOUR, TEACHER_COLOUR
from cluster.experiment.blocks import Chart
from distill.errors import RunError
from distill.files import write_atomically

_MAX_COLUMNS = 3
_PANEL_INCHES = (4.6, 3.4)
_MANY_LABELS = 3


def draw(charts: Sequence[Chart], path: Path) -> None:
    """Draw charts as the panels of one picture.

    Raises:
        RunError: if the file cannot be written.
    """
    columns = min(_MAX_COLUMNS, len(charts))
    rows = math.ceil(len(charts) / columns)
    size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.3)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    for index, chart in enumerate(charts):
        axis: Panel = figure.add_subplot(rows, columns, index + 1)
        _draw(axis, chart)
    image = io.BytesIO()
    cast(Canvas, FigureCanvasAgg(figure)).print_png(image)
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise RunError(f"plot {path}: cannot be written: {error}; check the folder") from error


def _draw(axis: Panel, chart: Chart) -> None:
    for at, mark in enumerate(chart.marks):
        if mark.seeds:
            axis.plot([at - 0.15] * len(mark.seeds), mark.seeds, color=RANDOM_COLOUR, ls="none", marker=".")
        if mark.value is not None:
            low, high = mark.interval or (mark.value, mark.value)
            axis.plot([at, at], [low, high], color=STUDENT_COLOUR, lw=1.6)
            axis.plot([at], [mark.value], color=STUDENT_COLOUR, ls="none", marker="o", markersize=5.0)
        if mark.paper is not None:
            axis.plot([at + 0.2], [mark.paper], color=TEACHER_COLOUR, ls="none", marker="^", markersize=6.0)
    axis.axhline(chart.reference, color=RANDOM_COLOUR, linestyle=":", label="")
    for label, colour, marker in _legend(chart):
        axis.plot([], [], color=colour, ls="none", marker=marker, label=label)
    many = len(chart.marks) > _MANY_LABELS
    axis.set_xticks(
        range(len(chart.marks)), [mark.label for mark in chart.marks], rotation=30.0 if many else 0.0,
        ha="right" if many else "center", fontsize="small",
    )  # fmt: skip
    axis.set_xlim(-0.5, len(chart.marks) - 0.5)
    axis.set_title(chart.title)
    axis.set_ylabel(chart.unit)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize="x-small", frameon=False)


def _legend(chart: Chart) -> list[tuple[str, str, str]]:
    keys = [("here, 95 %", STUDENT_COLOUR, "o")]
    if any(mark.seeds for mark in chart.marks):
        keys.append(("one seed", RANDOM_COLOUR, "."))
    if any(mark.paper is not None for mark in chart.marks):
        keys.append(("the paper", TEACHER_COLOUR, "^"))
    return keys
