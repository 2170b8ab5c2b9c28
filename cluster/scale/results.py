"""Writes everything that is made of an experiment's points: table, JSON and plot."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from cluster.scale.folder import ScaleFolder
from cluster.scale.picture import draw
from cluster.scale.points import Point, read_points
from cluster.scale.summary import Summary
from cluster.state.folder import write_json
from distill.errors import RunError
from distill.files import write_atomically


def write_results(folder: ScaleFolder) -> Summary | None:
    """Make everything anew from the points that are there; return what they say, None if there are none.

    Raises:
        RunError: if points are damaged, or a file cannot be written.
    """
    points = read_points(folder.points)
    if not points:
        return None
    summary = Summary.of(points)
    try:
        write_atomically(folder.rows, _as_csv(summary).encode())
        write_json(folder.summary, summary.as_json())
    except OSError as error:
        raise RunError(f"results {folder.path}: cannot be written: {error}; check the folder") from error
    draw(summary, folder.picture)
    return summary


def _as_csv(summary: Summary) -> str:
    rows = [_flat(point) for point in summary.points]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(point: Point) -> dict[str, Any]:
    """Return a point with a column for every figure, also for those of roles and books."""
    found: dict[str, Any] = {}
    for name, value in (asdict(point) | {"efficiency": point.efficiency}).items():
        _add(found, name, value)
    return found


def _add(found: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for part, its in cast(Mapping[str, Any], value).items():
            _add(found, f"{name}.{part}", its)
    elif value is not None:
        found[name] = value
