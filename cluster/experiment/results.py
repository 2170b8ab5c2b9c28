"""Makes everything from the scores that are there: table, plot and page of an experiment, and README's section."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from cluster.experiment.blocks import Findings
from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.design import Experiment
from cluster.experiment.findings import findings
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.markdown import markdown
from cluster.experiment.page import document
from cluster.experiment.picture import draw
from cluster.experiment.score_rows import read_rows
from cluster.experiment.scores import Scores
from distill.errors import ConfigError, RunError
from distill.files import write_atomically

BEGIN, END = "<!-- results -->", "<!-- /results -->"
"""Lines of a document between which results stand."""


def write_results(experiment: Experiment, folder: ExperimentFolder) -> Findings | None:
    """Write table, plot and page of an experiment from its scores; return what they tell, None if there are none.

    Raises:
        RunError: if scores are damaged, or a file cannot be written.
    """
    read = read_results(experiment, folder)
    if read is None:
        return None
    scores, found = read
    try:
        write_atomically(folder.table, markdown(experiment, found, folder.picture.name, level=1).encode())
        write_atomically(folder.page, document(scores, found).encode())
    except OSError as error:
        raise RunError(f"results {folder.path}: cannot be written: {error}; check the folder") from error
    if found.charts:
        draw(found.charts, folder.picture)
    return found


def read_results(experiment: Experiment, folder: ExperimentFolder) -> tuple[Scores, Findings] | None:
    """Return an experiment's scores and what they tell, None if there are none. Raises RunError if they are damaged."""
    rows = read_rows(folder.scores)
    if not rows:
        return None
    scores = Scores(experiment, rows)
    return scores, findings(scores, read_measured(folder))


def read_measured(folder: ExperimentFolder) -> Mapping[str, Any]:
    """Return what was measured beside the scores, empty if nothing was. Raises RunError if the file is damaged."""
    try:
        return cast(Mapping[str, Any], json.loads(folder.measured.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, RecursionError, ValueError) as error:
        raise RunError(f"{folder.measured}: cannot be read: {error}; remove it to measure anew") from error


def results_section(out: Path, beside: Path) -> str:
    """Return what a document says of all experiments that have scores.

    Args:
        out: folder of the experiments.
        beside: folder of the document, from which its pictures are named.

    Raises:
        RunError: if scores are damaged.
    """
    parts: list[str] = []
    for experiment in EXPERIMENTS.values():
        folder = ExperimentFolder(out / experiment.name)
        if (read := read_results(experiment, folder)) is not None:
            picture = Path(os.path.relpath(folder.picture, beside)).as_posix()
            parts.append(markdown(experiment, read[1], picture, level=3))
    return "\n".join(parts) or "No experiment has been run yet.\n"


def renew_readme(readme: Path, out: Path) -> bool:
    """Do as `renew_document` with the results of all experiments. Raises RunError if scores are damaged."""
    return renew_document("readme", readme, results_section(out, readme.parent))


def renew_document(option: str, document: Path, section: str) -> bool:
    """Write a section into a document, between its marks; return whether it had been another one.

    Args:
        option: that named the document.
        document: path of it.
        section: what is to stand there.

    Raises:
        ConfigError: if the document has not these marks.
        RunError: if it cannot be written.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option}: {document} cannot be read: {error}") from error
    renewed = with_results(text, section, f"{option}: {document}")
    if renewed == text:
        return False
    try:
        write_atomically(document, renewed.encode())
    except OSError as error:
        raise RunError(f"{option}: {document} cannot be written: {error.strerror}") from error
    return True


def with_results(text: str, section: str, name: str) -> str:
    """Return a document with this section between its marks; raises ConfigError if it does not have them, once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ConfigError(f"{name}: expected one line {BEGIN} and one line {END} after it; add them")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n{section}{after}"
