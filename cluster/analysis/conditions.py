"""Tells runs that repeat one another from runs that differ: what statistics over seeds may put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cluster.analysis.run_data import RunData

_REPETITION = frozenset({"name", "root", "seed", "buffer", "video"})
"""Settings that do not make another experiment of a run."""
_MOST_NAMED = 3


@dataclass(frozen=True)
class Condition:
    """Runs of the same settings but for name, place and seed.

    Attributes:
        label: a letter.
        settings: in which it differs from the others, `loss kl`; empty if there is no other, or too much to name.
        runs: its runs.
    """

    label: str
    settings: str
    runs: tuple[RunData, ...]

    @property
    def title(self) -> str:
        """The letter, and the settings or else the names of the runs."""
        return f"{self.label}: {self.settings or ', '.join(run.name for run in self.runs)}"


def conditions(runs: Sequence[RunData]) -> list[Condition]:
    """Return the runs by condition, in the order in which the runs are given."""
    groups: dict[str, list[RunData]] = {}
    for run in runs:
        groups.setdefault(repr(_substance(run.settings)), []).append(run)
    keys = differing([_substance(group[0].settings) for group in groups.values()])
    return [
        Condition(_letter(index), _described(group[0], keys), tuple(group))
        for index, group in enumerate(groups.values())
    ]


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings, in their recorded order, whose values are not the same everywhere."""
    names = dict.fromkeys(name for each in settings for name in each)
    absent = object()
    return [
        name for name in names if any(each.get(name, absent) != settings[0].get(name, absent) for each in settings[1:])
    ]


def shown(value: Any) -> str:
    """Return a setting's value as a reader should see it."""
    if isinstance(value, list):
        return " ".join(map(str, cast(list[object], value))) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _substance(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in sorted(settings.items()) if name not in _REPETITION}
    if isinstance(teachers := found.get("teachers"), list):
        # The same teachers may lie elsewhere.
        found["teachers"] = [Path(str(path)).name for path in cast(list[object], teachers)]
    return found


def _described(run: RunData, keys: Sequence[str]) -> str:
    if len(keys) > _MOST_NAMED:
        return ""
    substance = _substance(run.settings)
    return ", ".join(f"{key} {shown(substance[key])}" for key in keys if key in substance)


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"A{index}"
