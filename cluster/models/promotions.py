"""Promotions as a run's folder tells them, without a Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.models.mirror import ModelMirror, mirrored_lineages
from distill.errors import RunError


@dataclass(frozen=True)
class Promotion:
    """A change of what a lineage's names point at.

    Attributes:
        version: the version that they point at now.
        parent: the one before, or None.
        names: the names.
        scores: by game, `mean`, `interval`, `episodes` of the version when that was decided.
        time: seconds since 1970.
        why: one sentence.
        kind: a promotion by the rule, or a roll-back by a user.
    """

    version: int
    parent: int | None
    names: tuple[str, ...]
    scores: dict[str, dict[str, Any]]
    time: float
    why: str
    kind: Literal["promotion", "roll-back"] = "promotion"


def in_last_half(version: Mapping[str, Any], newest: Mapping[str, Any]) -> bool:
    """Return whether a version was published in the last half of the training time up to the newest one.

    Args:
        version: its metadata.
        newest: metadata of the newest version of its lineage.
    """
    return version["seconds"] >= newest["seconds"] / 2.0


def read_promotions(directory: Path, lineage: str) -> list[Promotion]:
    """Return the promotions that a run's folder has a copy of; no Redis is needed.

    Raises:
        RunError: if the copy is damaged.
    """
    try:
        return [promotion_of(row) for row in ModelMirror(directory, lineage).ledger().get("promotions", [])]
    except (KeyError, TypeError) as error:
        raise RunError(f"ledger of {lineage} in {directory}: expected promotions, found {error}") from error


def promotion_of(row: dict[str, Any]) -> Promotion:
    """Return the promotion that was written as JSON; raises KeyError or TypeError if it is damaged."""
    values: dict[str, Any] = row | {"names": tuple(row["names"])}
    return Promotion(**values)


def latest_promotions(directory: Path) -> dict[str, Promotion]:
    """Return the newest promotion of every lineage of a run's folder that has one; a damaged copy counts as none."""
    found: dict[str, Promotion] = {}
    for lineage in mirrored_lineages(directory):
        try:
            promotions = read_promotions(directory, lineage)
        except RunError:
            continue
        if promotions:
            found[lineage] = promotions[-1]
    return found
