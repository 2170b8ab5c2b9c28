"""The drawings of reports: what is escaped, where points lie, what is left out, what is told in words."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.report.drawing.bars import Row, interval_chart, part_chart
from cluster.report.drawing.chart import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Level,
    Scale,
    Series,
    line_chart,
    thinned,
    tick_label,
)
from cluster.report.drawing.html import Html, element, join, table
from cluster.report.profiles import profile

HOSTILE = "<script>alert('1')</script>\"&"
FINITE = st.floats(-1e9, 1e9)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def coordinates(figure: Html, kind: str) -> list[tuple[float, float]]:
    """Return the points of the first path of a class."""
    found = re.search(rf'class="{kind}" d="([^"]*)"', figure)
    assert found is not None, f"no {kind}"
    values = numbers(found[1])
    return list(zip(values[::2], values[1::2], strict=True))


def test_text_and_attributes_are_escaped_and_elements_are_not_escaped_again():
    inner = element("b", HOSTILE, title=HOSTILE)
    outer = element("p", inner, [HOSTILE, inner])
    assert "<script" not in outer
    assert outer.count("<b title=") == 2
    assert outer.count("&lt;script&gt;") == 5
    assert '"&quot;&amp;"' not in join(HOSTILE)
    assert element("td", "x", class_=None, open=False, hidden=True, aria_label="a", x=1.5) == (
        '<td hidden aria-label="a" x="1.5">x</td>'
    )


def test_a_table_has_a_caption_headings_and_can_be_scrolled_by_keyboard():
    text = table("Scores", ("game", "mean"), [("pong", "1")])
    assert text.startswith('<div class="scroll" role="region" aria-label="Scores" tabindex="0">')
    assert "<caption>Scores</caption>" in text
    assert re.findall(r'<th [^>]*scope="(\w+)"', text) == ["col", "col", "row"]


def test_points_lie_where_their_values_are():
    figure = line_chart("loss", "updates", "value", [Series("a", 0, [(0.0, 0.0), (5.0, 5.0), (10.0, 10.0)])])
    assert figure is not None
    (x0, y0), (x1, y1), (x2, y2) = coordinates(figure, "line")
    assert (x0, x2) == (LEFT, WIDTH - RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2.0, abs=0.1)
    assert y1 == pytest.approx((y0 + y2) / 2.0, abs=0.1)
    assert y0 > y2, "greater values are higher up"


def test_a_logarithmic_axis_keeps_ratios_and_leaves_out_what_is_not_above_zero():
    points = [(0.0, 1.0), (1.0, 0.0), (2.0, 0.1), (3.0, math.nan), (4.0, 0.01), (5.0, math.inf)]
    figure = line_chart("loss", "updates", "value", [Series("a", 0, points)], log=True)
    assert figure is not None
    ys = [y for _, y in coordinates(figure, "line")]
    assert len(ys) == 3
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)


def test_a_chart_of_nothing_is_none():
    assert line_chart("loss", "x", "y", [], [Level("random", None, 1.0)]) is None
    assert line_chart("loss", "x", "y", [Series("a", 0, [(1.0, math.nan)])]) is None
    assert interval_chart("ratios", "x", [], 1.0) is None
    assert part_chart("time", [("a", {"wait": 0.0})], ("wait",)) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1, max_size=12), FINITE, st.booleans())
def test_any_finite_values_stay_within_the_drawing(values: list[tuple[float, float, float]], level: float, log: bool):
    points, bands = [(x, y) for x, y, _ in values], [(min(y, z), max(y, z)) for _, y, z in values]
    figure = line_chart(
        HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, 9, points, bands, "marked")], [Level(HOSTILE, None, level)], log=log
    )
    if figure is None:
        assert log, "only a logarithmic axis may have nothing to show"
        return
    assert "<script" not in figure
    assert not re.search(r'="[^"]*(nan|inf)', re.sub(r'aria-label="[^"]*"', "", figure))
    drawn = [path for path in re.findall(r' d="([^"]*)"', figure) if "L" in path]
    for path in drawn:
        places = numbers(path)
        assert all(-0.1 <= x <= WIDTH + 0.1 for x in places[::2])
        if not log:
            assert all(-0.1 <= y <= HEIGHT + 0.1 for y in places[1::2])


def test_a_chart_tells_what_it_shows():
    series = Series("one, student", 0, [(0.0, 2.0), (1000.0, 5.0)])
    figure = line_chart("pong", "updates", "score", [series])
    assert figure is not None
    assert 'role="img"' in figure
    assert 'aria-label="pong: score over updates. one, student from 2 at 0 to 5 at 1k."' in figure


def test_a_single_version_shows_its_interval():
    figure = line_chart("pong", "updates", "score", [Series("a", 0, [(5.0, 2.0)], [(1.0, 3.0)], "marked")])
    assert figure is not None
    (x0, y0), (x1, y1) = coordinates(figure, "line")
    assert x0 == x1
    assert y0 - y1 > 50.0


def test_many_points_become_means_of_neighbours():
    points = [(float(x), float(x % 2)) for x in range(1000)]
    kept = thinned(points, 100)
    assert len(kept) == 100
    assert kept[0] == (4.5, 0.5)
    assert thinned(points[:100], 100) == points[:100]


@pytest.mark.parametrize("low, high", [(0.01, 1.0), (0.011, 0.019), (1e-6, 1e3)])
def test_a_logarithmic_axis_has_ticks_within_it(low: float, high: float):
    ticks = Scale(low, high, 0.0, 100.0, log=True).ticks(5)
    assert len(ticks) >= 2
    assert all(0.999999 * low <= tick <= 1.000001 * high for tick in ticks)


def test_tick_labels_are_short():
    assert [tick_label(value) for value in (0.0, -2.5, 0.05, 999.0, 20_000.0, 1.5e6)] == [
        "0", "-2.5", "0.05", "999", "20k", "1.5M",
    ]  # fmt: skip


def test_bars_are_split_by_shares_and_tell_them():
    figure = part_chart("time", [("pong", {"wait": 3.0, "push": 1.0})], ("push", "wait"))
    assert figure is not None
    found = re.findall(r'<rect [^>]*x="([\d.]+)"[^>]* width="([\d.]+)"', figure)
    (start, push), (after, wait) = ((float(x), float(width)) for x, width in found)
    assert wait == pytest.approx(3.0 * push)
    assert after == pytest.approx(start + push)
    assert "pong: push 25%, wait 75%" in figure


def test_intervals_are_told_and_drawn_around_the_reference():
    rows = [Row("pong", 0, 0.9, (0.8, 1.1)), Row("breakout", 1, 0.5, None)]
    figure = interval_chart("ratios", "student / teacher", rows, 1.0)
    assert figure is not None
    assert "pong 0.900 (0.800 to 1.100); breakout 0.500" in figure
    assert figure.count('class="reference"') == 1


def test_a_profile_steps_down_at_every_score():
    assert profile([2.0, 1.0, 2.0, 4.0]) == [(1.0, 1.0), (1.0, 0.75), (2.0, 0.75), (2.0, 0.25), (4.0, 0.25), (4.0, 0.0)]
