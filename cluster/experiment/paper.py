"""The paper's published figures, to stand beside measured ones."""

import csv
import functools
from collections.abc import Sequence
from importlib import resources
from typing import Literal

from distill.scores import geometric_mean

_PERCENT = 100.0


@functools.cache
def _figures() -> dict[tuple[str, str, str, str], float]:
    text = resources.files("cluster.experiment").joinpath("paper.csv").read_text(encoding="utf-8")
    return {
        (row["table"], row["game"], row["variant"], row["quantity"]): float(row["value"])
        for row in csv.DictReader(text.splitlines())
    }


def published(table: str | None, game: str, variant: str, quantity: Literal["score", "percent"]) -> float | None:
    """Return a figure of the paper's, None if it has none.

    Args:
        table: name of the experiment.
        game: ROM name.
        variant: `teacher`, or key of a variant.
        quantity: mean score, or per cent of the teacher's.
    """
    return _figures().get((table or "", game, variant, quantity))


def published_geometric_mean(table: str | None, variant: str, games: Sequence[str]) -> float | None:
    """Return the geometric mean of the paper's per cents over exactly these games, None if one of them is not there."""
    stated = _figures().get((table or "", " ".join(sorted(games)), variant, "geometric mean"))
    if stated is not None:
        return stated
    known = [published(table, game, variant, "percent") for game in games]
    ratios = [percent / _PERCENT for percent in known if percent is not None]
    mean = geometric_mean(ratios) if len(ratios) == len(known) else None
    return None if mean is None else mean * _PERCENT
