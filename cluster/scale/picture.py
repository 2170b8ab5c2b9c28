"""Draws the plot of a scaling experiment: throughput beside the ideal line, pushes, and who uses the cores."""

import io
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from cluster.analysis.panel import Canvas, Panel
from cluster.scale.laws import Fit
from cluster.scale.points import ROLES
from cluster.scale.summary import Curve, Summary
from distill.errors import RunError
from distill.files import write_atomically

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GREY = "#666666"
_PANEL_INCHES = (5.2, 3.8)
_SMOOTH = 60
_MANY_FOLD = 20
"""Between the fewest and the most actors from which axes are logarithmic."""


def draw(summary: Summary, path: Path) -> None:
    """Draw an experiment.

    Raises:
        RunError: if the file cannot be written.
    """
    figure = Figure(figsize=(3 * _PANEL_INCHES[0], _PANEL_INCHES[1]), dpi=110, layout="constrained")
    axes: list[Panel] = [figure.add_subplot(1, 3, place + 1) for place in range(3)]
    counts = sorted({actors for each in summary.curves for actors in each.points})
    wide = counts[-1] >= _MANY_FOLD * counts[0]
    _throughput(axes[0], summary.curves, counts, wide=wide)
    _pushes(axes[1], summary.curves)
    _cores(axes[2], summary.curves[0])
    for axis in axes:
        if wide:
            axis.set_xscale("log")
        axis.set_xticks(counts, [f"{n:,}" for n in counts], rotation=0.0, ha="center", fontsize="small")
        axis.set_xlabel("actors")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize="x-small", frameon=False)
    image = io.BytesIO()
    cast(Canvas, FigureCanvasAgg(figure)).print_png(image)
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise RunError(f"plot {path}: cannot be written: {error}; check the folder") from error


def _throughput(axis: Panel, curves: Sequence[Curve], counts: Sequence[int], *, wide: bool) -> None:
    first = curves[0]
    fewest = min(first.points)
    references = [point.reference for point in first.points[fewest] if point.reference is not None]
    one = (fmean(references) if references else first.transitions[fewest].value) / fewest
    ideal = "ideal: the same actors without a system" if references else "ideal: as many times the fewest"
    axis.plot(counts, [one * n for n in counts], color=_GREY, ls="--", lw=1.0, label=ideal)
    for place, each in enumerate(curves):
        colour = _PALETTE[place % len(_PALETTE)]
        x, y = list(each.transitions), [mean.value for mean in each.transitions.values()]
        axis.plot(x, y, color=colour, marker="o", markersize=4.0, label=f"measured, {_servers(each)}")
        for actors, mean in each.transitions.items():
            if mean.interval is not None:
                axis.plot([actors, actors], mean.interval, color=colour, lw=2.5)
        if each is first:
            _law(axis, each.amdahl, counts, "Amdahl's law", ":")
            _law(axis, each.usl, counts, "universal scalability law", "-.")
    if wide:
        axis.set_yscale("log")
    axis.set_title("throughput, 95 % intervals over repeats")
    axis.set_ylabel("transitions/s")


def _law(axis: Panel, fitted: Fit | None, counts: Sequence[int], label: str, style: str) -> None:
    if fitted is not None:
        steps = [counts[0] * (counts[-1] / counts[0]) ** (place / _SMOOTH) for place in range(_SMOOTH + 1)]
        axis.plot(steps, [fitted.law.at(n) for n in steps], color=_GREY, ls=style, lw=1.0, label=label)


def _pushes(axis: Panel, curves: Sequence[Curve]) -> None:
    for place, each in enumerate(curves):
        for name, style in (("p50", ":"), ("p99", "-")):
            known = {n: [p.push[name] for p in points if name in p.push] for n, points in each.points.items()}
            found = {n: 1000.0 * fmean(values) for n, values in known.items() if values}
            x, y, colour = list(found), list(found.values()), _PALETTE[place % len(_PALETTE)]
            axis.plot(x, y, color=colour, ls=style, marker="o", markersize=3.5, label=f"{name}, {_servers(each)}")
    axis.set_yscale("log")
    # Powers of ten alone would leave the axis with one label or none.
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_title("push, until it is acknowledged")
    axis.set_ylabel("ms")


def _cores(axis: Panel, each: Curve) -> None:
    for role, colour in zip(ROLES, _PALETTE, strict=False):
        busy = [fmean(point.cores_of(role) for point in points) for points in each.points.values()]
        axis.plot(list(each.points), busy, color=colour, marker="o", markersize=3.5, label=role)
    cores = next(iter(each.points.values()))[0].cores
    axis.axhline(float(cores), color=_GREY, linestyle="--", label="all there are")
    axis.set_title(f"cores in use, {_servers(each)}")
    axis.set_ylabel("CPU seconds per second")


def _servers(each: Curve) -> str:
    return f"{each.servers} Redis server{'s' * (each.servers != 1)}"
