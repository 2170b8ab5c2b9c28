"""The table of ratios that a run shows at its end, for terminal and Markdown."""

from collections.abc import Sequence

from rich.console import Group
from rich.styled import Styled
from rich.table import Table

from distill.scores import Comparison, Interval, summarise

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
