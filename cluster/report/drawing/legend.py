"""Says which colour and marker is which run, and which line is what."""

from collections.abc import Sequence

from cluster.analysis.run_data import RunData
from cluster.report.drawing.chart import colour, marker
from cluster.report.drawing.html import Html, element


def swatch(number: int) -> Html:
    """Return the colour and marker of a run, for beside its name."""
    drawn = element("g", element("path", class_="line", d="M0 7H26"), marker(number, 13.0, 7.0), class_=colour(number))
    return element("svg", drawn, class_="swatch", viewBox="0 0 26 14", aria_hidden="true")


def runs_legend(runs: Sequence[RunData]) -> Html:
    """Return the names of the runs with their colours."""
    items = [element("li", swatch(number), run.name) for number, run in enumerate(runs)]
    return element("ul", items, class_="legend", aria_label="Runs")


def lines_legend(runs: Sequence[RunData]) -> Html:
    """Return what the lines in the figures of scores are."""
    keys: list[tuple[str, str]] = []
    if any(run.distils for run in runs):
        keys.append(("line", "student, mean and 95 % interval of its episodes"))
    if not all(run.distils for run in runs):
        keys.append(("line", "Q-learner's candidates, mean of their first episodes"))
    if any(run.distils and not run.taught for run in runs):
        keys.append(("markers", "Q-learner's candidates in a run with a student"))
    if not all(run.taught for run in runs):
        keys.append(("steps", "best Q-learner so far, mean when it was promoted"))
    if any(run.taught for run in runs):
        keys.append(("level", "teacher at the end of the run"))
    keys.append(("random", "random play"))
    return _list(keys, "Lines")


def profiles_legend(runs: Sequence[RunData]) -> Html:
    """Return what the lines in the figures of episodes are."""
    keys = [("plain", "student")] if any(run.player == "student" for run in runs) else []
    return _list([*keys, ("dashed", "teacher")], "Lines")


def learners_legend(runs: Sequence[RunData]) -> Html:
    """Return what the lines in the figures of pace are."""
    keys = [("plain", "student")] if any(run.player == "student" for run in runs) else []
    return _list([*keys, ("dashed", "Q-learner")], "Lines")


def parts_legend(parts: Sequence[str]) -> Html:
    """Return the colours of the parts of bars."""
    items: list[Html] = []
    for number, part in enumerate(parts):
        square = element("rect", class_="part", x=6.0, y=1.0, width=14.0, height=12.0)
        group = element("g", square, class_=colour(number))
        items.append(
            element("li", element("svg", group, class_="swatch", viewBox="0 0 26 14", aria_hidden="true"), part)
        )
    return element("ul", items, class_="legend", aria_label="Parts")


def _list(keys: Sequence[tuple[str, str]], label: str) -> Html:
    return element("ul", [element("li", _key(kind), text) for kind, text in keys], class_="legend", aria_label=label)


def _key(kind: str) -> Html:
    drawn = {
        "line": [element("path", class_="line", d="M0 7H26"), marker(0, 13.0, 7.0)],
        "plain": [element("path", class_="line", d="M0 7H26")],
        "dashed": [element("path", class_="line dashed", d="M0 7H26")],
        "level": [element("path", class_="level", d="M0 7H26")],
        "random": [element("path", class_="level", d="M0 7H26")],
        "steps": [element("path", class_="steps", d="M0 12H13V3H26")],
        "markers": [element("g", marker(0, 7.0, 7.0), marker(0, 19.0, 7.0), class_="faint")],
    }[kind]
    group = element("g", drawn, class_="neutral" if kind == "random" else "plain")
    return element("svg", group, class_="swatch", viewBox="0 0 26 14", aria_hidden="true")
