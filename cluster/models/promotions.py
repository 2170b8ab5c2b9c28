"""Promotions as a run's folder tells them, without a Redis."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.models.decisions import Promotion
from cluster.models.mirror import ModelMirror, mirrored_lineages
from distill.errors import RunError


def in_last_half(version: Mapping[str, Any], newest: Mapping[str, Any]) -> bool:
    """Return whether a version was published in the last half of the training time up to the newest one.

    Args:
        version: its metadata.
        newest: metadata of the newest version of its lineage.
    """
    return version["seconds"] >= newest["seconds"] / 2.0


def set_aside(mirror: ModelMirror, version: int) -> None:
    """Set a version aside if it is of the last half of the training, and drop those that no longer are."""
    aside, newest = mirror.aside(), mirror.metadata(mirror.versions()[-1])
    if version in aside or not in_last_half(mirror.metadata(version), newest):
        return
    mirror.set_aside(version)
    for other in aside:
        if not in_last_half(mirror.metadata(other), newest):
            mirror.drop_aside(other)


def read_promotions(directory: Path, lineage: str) -> list[Promotion]:
    """Return the promotions that a run's folder has a copy of; no Redis is needed.

    Raises:
        RunError: if the copy is damaged.
    """
    return list(ModelMirror(directory, lineage).decisions().promotions)


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
