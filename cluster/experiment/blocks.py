"""What is told of an experiment, in whatever form: sentences, tables, and charts of values with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.scores import Interval

NONE = "n/a"
"""Stands for what is not known."""


@dataclass(frozen=True)
class Sentence:
    """A paragraph.

    Attributes:
        text: of it.
    """

    text: str


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        caption: what it shows.
        head: its column headings.
        rows: its cells, as many a row as there are headings.
        text_columns: how many columns from the left hold text; the others hold numbers.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


@dataclass(frozen=True)
class Mark:
    """A value in a chart.

    Attributes:
        label: of what.
        value: the value, None if there is none.
        interval: around it, None if not known.
        seeds: the value of every single training seed.
        paper: what the paper has in its place, None if nothing.
    """

    label: str
    value: float | None
    interval: Interval | None = None
    seeds: Sequence[float] = ()
    paper: float | None = None


@dataclass(frozen=True)
class Chart:
    """Values beside one another.

    Attributes:
        title: what they are of.
        unit: of the values.
        marks: the values.
        reference: value with a line of its own.
    """

    title: str
    unit: str
    marks: Sequence[Mark]
    reference: float


Block = Sentence | Grid


@dataclass(frozen=True)
class Findings:
    """All that an experiment's scores say.

    Attributes:
        blocks: in the order in which they are told.
        charts: of the plot.
    """

    blocks: Sequence[Block]
    charts: Sequence[Chart]


def number(value: float | None, form: str = ",.1f") -> str:
    """Return a number as readers see it."""
    return NONE if value is None else f"{value:{form}}"


def bounds(interval: Interval | None, form: str = ",.1f", scale: float = 1.0) -> str:
    """Return an interval as it stands behind its value, empty if it is not known."""
    return "" if interval is None else f" [{interval[0] * scale:{form}}, {interval[1] * scale:{form}}]"
