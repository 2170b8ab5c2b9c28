"""Draws charts of rows as inline SVG: intervals around values, and bars split into parts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.report.drawing.chart import WIDTH, Scale, colour, marker, tick_label
from cluster.report.drawing.html import Html, element
from distill.scores import Interval

_SIDE, _ROW, _AXIS = 8.0, 32.0, 38.0


@dataclass(frozen=True)
class Row:
    """A value with its uncertainty.

    Attributes:
        label: of what.
        number: which run it belongs to, counted from 0.
        value: the value.
        interval: around it, None if not known.
    """

    label: str
    number: int
    value: float
    interval: Interval | None


def interval_chart(title: str, x_label: str, rows: Sequence[Row], reference: float) -> Html | None:
    """Return a figure with one row a value and a line at a reference; None if there is no row."""
    if not rows:
        return None
    bounds = [bound for row in rows for bound in (row.value, *(row.interval or ()))]
    low, high = min(*bounds, reference), max(*bounds, reference)
    margin = 0.05 * (high - low) or 0.5
    x = Scale(low - margin, high + margin, _SIDE, WIDTH - _SIDE)
    end = _ROW * len(rows)
    parts: list[Html] = []
    for tick in x.ticks(7):
        parts.append(element("path", class_="grid", d=f"M{x(tick):.1f} 0V{end:g}"))
        parts.append(element("text", tick_label(tick), x=x(tick), y=end + 15.0, text_anchor=_anchor(x(tick))))
    parts.append(element("path", class_="reference", d=f"M{x(reference):.1f} 0V{end:g}"))
    for index, row in enumerate(rows):
        parts.append(_row(row, x, index * _ROW))
    parts.append(element("text", x_label, class_="title", x=WIDTH / 2.0, y=end + 32.0, text_anchor="middle"))
    described = "; ".join(f"{row.label} {_told(row)}" for row in rows)
    return _figure(title, parts, end + _AXIS, f"{title}: {x_label}. {described}.")


def part_chart(title: str, rows: Sequence[tuple[str, Mapping[str, float]]], parts: Sequence[str]) -> Html | None:
    """Return a figure with one bar a row, all of the same length, split by the shares of its parts.

    Args:
        title: what it shows.
        rows: label and seconds by part.
        parts: their order.
    """
    rows = [row for row in rows if math.fsum(row[1].values()) > 0.0]
    if not rows:
        return None
    drawn: list[Html] = []
    told: list[str] = []
    length = WIDTH - 2.0 * _SIDE
    for index, (label, seconds) in enumerate(rows):
        total, top = math.fsum(seconds.values()), index * _ROW
        drawn.append(element("text", label, class_="name", x=_SIDE, y=top + 11.0))
        at = _SIDE
        for number, part in enumerate(parts):
            share = seconds.get(part, 0.0) / total
            tip = element("title", f"{label}, {part}: {share:.1%}")
            bar = element("rect", tip, class_="part", x=at, y=top + 15.0, width=share * length, height=13.0)
            drawn.append(element("g", bar, class_=colour(number)))
            at += share * length
        told.append(f"{label}: " + ", ".join(f"{part} {seconds.get(part, 0.0) / total:.0%}" for part in parts))
    return _figure(title, drawn, _ROW * len(rows) + 2.0, f"{title}. {'; '.join(told)}.")


def _row(row: Row, x: Scale, top: float) -> Html:
    parts = [element("text", row.label, class_="name", x=_SIDE, y=top + 12.0)]
    middle = top + 22.0
    if row.interval is not None:
        low, high = x(row.interval[0]), x(row.interval[1])
        line = f"M{low:.1f} {middle:g}H{high:.1f}M{low:.1f} {middle - 3:g}v6M{high:.1f} {middle - 3:g}v6"
        parts.append(element("path", class_="line", d=line))
    parts.append(marker(row.number, x(row.value), middle, f"{row.label}: {_told(row)}", 3.8))
    return element("g", parts, class_=colour(row.number))


def _told(row: Row) -> str:
    return f"{row.value:.3f}" + (f" ({row.interval[0]:.3f} to {row.interval[1]:.3f})" if row.interval else "")


def _anchor(at: float) -> str:
    return "start" if at < 20.0 else "end" if at > WIDTH - 20.0 else "middle"


def _figure(title: str, parts: Sequence[Html], height: float, described: str) -> Html:
    size = f"0 0 {WIDTH:g} {height:g}"
    return element(
        "figure", element("figcaption", title), element("svg", parts, viewBox=size, role="img", aria_label=described)
    )
