"""What every tracker is: it takes figures over the learner's updates, and may do so slowly or fail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

_LEFT_OUT = ("time", "updates")
"""Not worth a curve: the one is on every point, the other is the axis."""


@dataclass(frozen=True)
class Tracked:
    """The run that is tracked.

    Attributes:
        folder: the run's.
        name: the run's.
        run_id: random id by which a resumed run goes on where it was.
        settings: the run's, as in its `config.yaml`.
    """

    folder: Path
    name: str
    run_id: str
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """Keeps a run's figures; every method may block, and may raise whatever its library raises."""

    def write(self, updates: int, values: Mapping[str, float]) -> None:
        """Keep figures.

        Args:
            updates: of the learner, the axis of every curve.
            values: by path, such as `loss/pong`.
        """
        ...

    def close(self) -> None:
        """Bring what is kept to its place."""
        ...


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in a nested mapping with its path; truth values and texts are left out."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(cast(Mapping[str, Any], value), f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and f"{prefix}{key}" not in _LEFT_OUT:
            yield f"{prefix}{key}", float(value)
