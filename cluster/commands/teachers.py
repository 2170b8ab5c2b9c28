"""`distill teachers`: list teacher files with their cards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import tyro
from rich.console import Console
from rich.table import Table

from cluster.commands.options import parse_options
from distill.architectures import Architecture, Graph
from distill.config import Section
from distill.errors import ModelFileError
from distill.teachers import TeacherFile, find_teachers


class TeachersOptions(Section):
    """List teacher files with their cards."""

    teachers: tyro.conf.Positional[tuple[Path, ...]] = (Path("teachers"),)
    """Teacher files, or folders of them."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Print one line a teacher."""
    options = parse_options(TeachersOptions, arguments, "teachers", "List teacher files with their cards.")
    found = find_teachers(options.teachers)
    if found.refused and not found.teachers:
        raise ModelFileError("; ".join(found.refused))
    table = Table(caption="raw scores, epsilon 0.05, no-op starts" if found.teachers else "no *.safetensors here")
    for column in ("game", "file", "network", "mean", "sd", "episodes", "trained how"):
        table.add_column(column, justify="right" if column in ("mean", "sd", "episodes") else "left")
    for teacher in found.teachers:
        table.add_row(*_row(teacher))
    console.print(table)
    found.warn()


def _row(teacher: TeacherFile) -> tuple[str, ...]:
    score = teacher.card.scores.get(teacher.game, {})
    labels = "" if teacher.card.labels == "q-values" else f", {teacher.card.labels}"
    return (
        teacher.game,
        str(teacher.path),
        f"{_sizes(teacher.card.architecture)}{labels}",
        f"{score['mean']:.1f}" if "mean" in score else "not evaluated",
        f"{score['standard_deviation']:.1f}" if "standard_deviation" in score else "",
        str(score.get("episodes", "")),
        "; ".join(_told(key, value) for key, value in teacher.card.training.items() if key != "curve"),
    )


def _sizes(architecture: Architecture | Graph) -> str:
    if isinstance(architecture, Graph):
        return f"{architecture.name}, {architecture.parameters:,} parameters"
    return f"{architecture.name}, {'-'.join(map(str, architecture.channels))}, {architecture.hidden}"


def _told(key: str, value: Any) -> str:
    """Return one fact of a card as words; the curve, which is for plots, is not among them."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {part}" for name, part in cast(Mapping[str, Any], value).items())
    elif isinstance(value, float):
        value = f"{value:g}"
    return f"{key.replace('_', ' ')}: {value}"
