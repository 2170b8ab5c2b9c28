"""The lines of the report of `distill bench`."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        what: what was measured.
        ours: median of the system's own figure.
        bare: median of the bare loop's, None where there is none.
        ratio: median of the rounds' ratios, None where there is no bare loop.
        unit: of `ours` and `bare`.
        bar: what the project promises, for the reader.
    """

    what: str
    ours: float
    unit: str
    bare: float | None = None
    ratio: float | None = None
    bar: str = ""


def compare(what: str, ours: list[float], bare: list[float], unit: str, bar: str) -> Row:
    """Return the row of a comparison from the figures of every round."""
    ratios = [mine / other for mine, other in zip(ours, bare, strict=True)]
    return Row(what, median(ours), unit, median(bare), median(ratios), bar)
