"""What is measured beside the scores, once an experiment's cells are there."""

from typing import Any

from cluster.experiment.action_gaps import measure_gaps
from cluster.experiment.design import Design, Experiment
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.network_sizes import measure_networks
from cluster.experiment.results import read_measured
from cluster.state.folder import write_json
from distill.errors import RunError


def measure_beside(experiment: Experiment, design: Design, folder: ExperimentFolder) -> None:
    """Measure what is not measured yet, and write it down.

    Raises:
        RunError: if a recording is damaged, or the disk refuses.
    """
    kind = experiment.measures
    known = dict(read_measured(folder))
    if kind is None or (kind in known and _covers(kind, known[kind], design)):
        return
    if kind == "networks":
        known[kind] = measure_networks()
    else:
        recording = next(cell.recording for cell in experiment.cells(design) if cell.recording is not None)
        path = folder.recordings / recording.name
        if not path.exists():
            return
        known[kind] = measure_gaps(path, design.games)
    try:
        write_json(folder.measured, known)
    except OSError as error:
        raise RunError(f"{folder.measured}: cannot be written: {error.strerror}") from error


def _covers(kind: str, known: list[dict[str, Any]], design: Design) -> bool:
    return kind == "networks" or {each["game"] for each in known} >= set(design.games)
