"""The lines of `points.jsonl`: what every cell has measured; everything else is made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cluster.scale.cells import Cell
from cluster.state.json_lines import append_line, read_lines
from distill.errors import RunError

ROLES = ("actors", "redis", "learner", "rest")
"""Whose CPU time is told apart; `rest` is Ray, the command itself and whatever else runs on the machine."""


@dataclass(frozen=True)
class Point:
    """What one cell has measured. Rates are per second.

    Attributes:
        actors: how many there were.
        servers: Redis servers.
        repeat: counted from 1.
        settings: see `cluster.scale.cells.Settings`.
        seconds: length of the measurement.
        transitions: that the actors made, per second; see `ActorsReading`.
        ingested: that entered the learner's replay, per second.
        samples: of the learner, per second.
        push: seconds of a push below which 50 % and 99 % of them lie, by `p50` and `p99`; none if nothing was pushed.
        waits: shares of the time: `actors` waited for room, the `learner` for data, its `feed` for the learner.
        cpu_seconds: by role of `ROLES`; without `rest` where there are several hosts.
        busiest_server: CPU seconds of the Redis server that took most.
        network_bytes: `to_redis` from the actors, `from_redis` to the learner.
        unread: transitions that the learner had not read at the end.
        reference: transitions per second of the same actors without Ray and Redis, or of simulated ones that never
            wait; None if not measured.
        reference_samples: samples per second of the learner beside them; None without one.
        background: cores that were busy before the cell began.
        cores: of the machine, or of all hosts of the cluster.
        books: of a simulated cell, see `cluster.scale.books.Books`; None of a real one.
        machine: on which.
        commit: of the program.
    """

    actors: int
    servers: int
    repeat: int
    settings: Mapping[str, Any]
    seconds: float
    transitions: float
    ingested: float
    samples: float
    push: Mapping[str, float]
    waits: Mapping[str, float]
    cpu_seconds: Mapping[str, float]
    busiest_server: float
    network_bytes: Mapping[str, float]
    unread: int
    reference: float | None
    reference_samples: float | None
    background: float
    cores: int
    books: Mapping[str, Any] | None
    machine: str
    commit: str = field(default="unknown")

    @property
    def cell(self) -> Cell:
        """Return what was to be measured."""
        return Cell(self.actors, self.servers, self.repeat)

    @property
    def efficiency(self) -> float | None:
        """Return transitions beside the reference, and with a learner at work the mean of its and the actors' ratio."""
        if self.reference is None:
            return None
        ratios = [self.transitions / self.reference]
        if self.reference_samples:
            ratios.append(self.samples / self.reference_samples)
        return sum(ratios) / len(ratios)

    def cores_of(self, role: str) -> float:
        """Return how many cores a role kept busy; 0 where that is not known."""
        return self.cpu_seconds.get(role, 0.0) / self.seconds


def append_point(path: Path, point: Point) -> None:
    """Append a point.

    Raises:
        RunError: if the disk refuses.
    """
    try:
        append_line(path, asdict(point))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}; check the folder") from error


def read_points(path: Path) -> list[Point]:
    """Return all points in the order of their cells, none if the file is absent; of one that is there twice, the newer.

    Raises:
        RunError: if the file cannot be read or a line is damaged.
    """
    try:
        points, damaged = read_lines(path, _parse)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    if damaged:
        raise RunError(f"{path}: expected measured points, found {damaged} damaged lines; remove these, and run again")
    found = {point.cell: point for point in points}
    return [found[cell] for cell in sorted(found, key=lambda cell: (cell.servers, cell.actors, cell.repeat))]


def curve(points: Sequence[Point], servers: int) -> dict[int, list[Point]]:
    """Return the points with that many servers by their number of actors, in ascending order."""
    found: dict[int, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.actors, point.repeat)):
        if point.servers == servers:
            found.setdefault(point.actors, []).append(point)
    return found


def _parse(row: Mapping[str, Any]) -> Point:
    point = Point(**row)
    # What is no number cannot be compared with one.
    if min(point.actors, point.servers, point.repeat) < 1 or point.seconds <= 0.0 or point.transitions < 0.0:
        raise ValueError("expected the figures of a point")
    return point
