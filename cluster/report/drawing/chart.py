"""Draws line charts as inline SVG, coloured by the style of the page: light, dark and print are one drawing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from cluster.report.drawing.html import Html, element, join

WIDTH, HEIGHT = 360.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 10.0, 10.0, 40.0
COLOURS = 7
"""Colours that the style has for series; markers tell series apart beyond them, and in print."""
_MOST_POINTS = 240
_MARKERS = ("circle", "square", "triangle", "diamond", "cross")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """Something that changes along x.

    Attributes:
        label: what it is called.
        number: which run or part it belongs to, counted from 0; gives colour and marker.
        points: x and y.
        bands: low and high around every point, or none.
        style: a line, a dashed one, a line with markers, markers alone, or steps that hold a value until the next.
    """

    label: str
    number: int
    points: Points
    bands: Points = ()
    style: Literal["line", "dashed", "marked", "markers", "steps"] = "line"


@dataclass(frozen=True)
class Level:
    """A value that holds for all x.

    Attributes:
        label: what it is called.
        number: which run it belongs to, None for none.
        value: its y.
    """

    label: str
    number: int | None
    value: float


@dataclass(frozen=True)
class Scale:
    """Maps values to coordinates.

    Attributes:
        low: least value.
        high: greatest value.
        start: coordinate of the least value.
        end: coordinate of the greatest value.
        log: whether by their logarithm.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Return round values within the scale."""
        linear = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        if not self.log:
            return self._within(linear)
        # Powers of ten alone would leave a short axis with one label or none.
        subs = (1.0,) if self.high >= 100.0 * self.low else (1.0, 2.0, 5.0)
        found = self._within(LogLocator(subs=subs, numticks=most + 2).tick_values(self.low, self.high))
        return found if len(found) > 1 else self._within(linear)

    def _within(self, ticks: Iterable[float]) -> list[float]:
        slack = 1e-9 * (self.low if self.log else self.high - self.low)
        return [float(tick) for tick in ticks if self.low - slack <= tick <= self.high + slack]


def colour(number: int | None) -> str:
    """Return the class that gives a series its colour."""
    return "neutral" if number is None else f"series{number % COLOURS}"


def tick_label(value: float) -> str:
    """Return a short label such as 20k or 0.05."""
    return f"{value:.4g}" if abs(value) < 1000.0 else EngFormatter(sep="")(value)


def thinned(points: Points, most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Return means of neighbouring points where there are more than `most`."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (math.fsum(x for x, _ in group) / len(group), math.fsum(y for _, y in group) / len(group)) for group in groups
    ]


def line_chart(
    title: str, x_label: str, y_label: str, series: Sequence[Series], levels: Sequence[Level] = (), *, log: bool = False
) -> Html | None:
    """Return a figure, or None if no series has a point that can be drawn.

    Args:
        title: what it shows; also the beginning of its description for those who cannot see it.
        x_label: title of the x axis.
        y_label: title of the y axis.
        series: what to draw; points that are not finite, or not above 0 on a logarithmic axis, are left out.
        levels: values that hold for all x.
        log: whether the y axis is logarithmic.
    """
    series = [kept for one in series if (kept := _drawable(one, log)).points]
    if not series:
        return None
    x, y = _scales(series, levels, log)
    described = "; ".join(_described(one) for one in series)
    drawing = element(
        "svg",
        _axes(x, y, x_label, y_label),
        [_level(level, x, y) for level in levels if not (log and level.value <= 0.0)],
        [_band(one, x, y) for one in series],
        [_line(one, x, y) for one in series],
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"{title}: {y_label} over {x_label}. {described}.",
    )
    return element("figure", element("figcaption", title), drawing)


def marker(number: int, x: float, y: float, tip: str = "", size: float = 3.0) -> Html:
    """Return the marker of a series at a point."""
    label = [element("title", tip)] if tip else []
    kind = _MARKERS[number % len(_MARKERS)]
    if kind == "circle":
        return element("circle", label, class_="marker", cx=x, cy=y, r=size)
    outline = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)),
        "cross": (
            (-1.2, -0.4), (-0.4, -0.4), (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4),
            (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4),
        ),
    }[kind]  # fmt: skip
    return element(
        "path", label, class_="marker", d=_path([(x + size * dx, y + size * dy) for dx, dy in outline]) + "Z"
    )


def _drawable(series: Series, log: bool) -> Series:
    kept = [
        index
        for index, (x, y) in enumerate(series.points)
        if math.isfinite(x) and math.isfinite(y) and not (log and y <= 0.0)
    ]
    points = [series.points[index] for index in kept]
    if series.style in ("line", "dashed"):
        points = thinned(points)
    bands = [series.bands[index] for index in kept] if series.bands else []
    return Series(series.label, series.number, points, bands, series.style)


def _scales(series: Sequence[Series], levels: Sequence[Level], log: bool) -> tuple[Scale, Scale]:
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for y in (*(y for _, y in one.points), *(bound for band in one.bands for bound in band))]
    ys += [level.value for level in levels]
    if log:
        ys = [y for y in ys if y > 0.0]
        low, high = min(ys) / 1.15, max(ys) * 1.15
    else:
        # Half a unit on both sides of a curve that never moves.
        margin = 0.06 * (max(ys) - min(ys)) or 0.5
        low, high = min(ys) - margin, max(ys) + margin
    left, right = min(0.0, *xs), max(xs)
    return (
        Scale(left, right if right > left else left + 1.0, LEFT, WIDTH - RIGHT),
        Scale(low, high, HEIGHT - BOTTOM, TOP, log),
    )


def _axes(x: Scale, y: Scale, x_label: str, y_label: str) -> Html:
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2.0
    parts: list[Html] = []
    for tick in y.ticks(5):
        at = y(tick)
        parts.append(element("path", class_="grid", d=_path([(LEFT, at), (WIDTH - RIGHT, at)])))
        parts.append(element("text", tick_label(tick), x=LEFT - 6.0, y=at + 3.5, text_anchor="end"))
    for tick in x.ticks(5):
        at = x(tick)
        # The last label would otherwise stick out of the drawing.
        anchor = "end" if at > WIDTH - RIGHT - 8.0 else "middle"
        parts.append(element("path", class_="axis", d=_path([(at, bottom), (at, bottom + 4.0)])))
        parts.append(element("text", tick_label(tick), x=at, y=bottom + 16.0, text_anchor=anchor))
    parts.append(element("path", class_="axis", d=_path([(LEFT, TOP), (LEFT, bottom), (WIDTH - RIGHT, bottom)])))
    centre = (LEFT + WIDTH - RIGHT) / 2.0
    parts.append(element("text", x_label, class_="title", x=centre, y=HEIGHT - 6.0, text_anchor="middle"))
    turned = f"rotate(-90 11 {middle:g})"
    parts.append(element("text", y_label, class_="title", x=11.0, y=middle, text_anchor="middle", transform=turned))
    return join(parts)


def _level(level: Level, x: Scale, y: Scale) -> Html:
    at = y(level.value)
    tip = element("title", f"{level.label}: {level.value:,.4g}")
    line = element("path", tip, class_="level", d=_path([(x.start, at), (x.end, at)]))
    return element("g", line, class_=colour(level.number))


def _band(series: Series, x: Scale, y: Scale) -> Html:
    if not series.bands:
        return Html("")
    if len(series.bands) == 1:
        (at, _), (low, high) = series.points[0], series.bands[0]
        bar = element("path", class_="line", d=_path([(x(at), y(max(low, y.low))), (x(at), y(high))]))
        return element("g", bar, class_=colour(series.number))
    upper = [(x(at), y(high)) for (at, _), (_, high) in zip(series.points, series.bands, strict=True)]
    lower = [(x(at), y(max(low, y.low))) for (at, _), (low, _) in zip(series.points, series.bands, strict=True)]
    outline = element("path", class_="band", d=_path([*upper, *reversed(lower)]) + "Z")
    return element("g", outline, class_=colour(series.number))


def _line(series: Series, x: Scale, y: Scale) -> Html:
    places = [(x(at), y(value)) for at, value in series.points]
    parts: list[Html] = []
    if series.style == "steps":
        corners = [places[0]]
        for (_, before), (at, after) in pairwise(places):
            corners += [(at, before), (at, after)]
        parts.append(element("path", class_="steps", d=_path([*corners, (x.end, places[-1][1])])))
    elif series.style != "markers" and len(places) > 1:
        kind = "line dashed" if series.style == "dashed" else "line"
        parts.append(element("path", class_=kind, d=_path(places)))
    if series.style not in ("line", "dashed") or len(places) == 1:
        tips = [f"{series.label}: {value:,.4g} at {tick_label(at)}" for at, value in series.points]
        parts += [marker(series.number, *at, tip) for at, tip in zip(places, tips, strict=True)]
    kind = "faint" if series.style == "markers" else None
    return element("g", element("g", parts, class_=kind), class_=colour(series.number))


def _described(series: Series) -> str:
    (first_x, first_y), (last_x, last_y) = series.points[0], series.points[-1]
    if len(series.points) == 1:
        return f"{series.label} {first_y:,.4g} at {tick_label(first_x)}"
    return f"{series.label} from {first_y:,.4g} at {tick_label(first_x)} to {last_y:,.4g} at {tick_label(last_x)}"


def _path(points: Points) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
