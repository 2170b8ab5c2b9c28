"""The `distill` commands that make recordings and cells, as words: to run them, and to show them."""

from collections.abc import Mapping
from typing import Any, cast

from cluster.experiment.design import Cell, Design, WantedRecording
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.jobs import Job

_STEPS_A_LANE = 6_000
"""A lane's first steps are all of the beginnings of episodes, so a small recording has fewer lanes."""
_MOST_LANES = 16


def recording_job(recording: WantedRecording, design: Design, folder: ExperimentFolder) -> Job:
    """Return how a recording is made."""
    path = folder.recordings / recording.name
    lanes = max(1, min(_MOST_LANES, recording.transitions // _STEPS_A_LANE))
    options = {
        "games": recording.games,
        "teachers": tuple(str(design.teachers[game]) for game in recording.games),
        "transitions": recording.transitions,
        "lanes": lanes,
        "seed": recording.seed,
        "serial": True,
    }
    words = ("record", str(path), *_flags(options))
    return Job(_key(recording), words, words, folder.logs / f"record-{recording.name}.log", path)


def cell_job(cell: Cell, design: Design, folder: ExperimentFolder) -> Job:
    """Return how a cell is run, or gone on with."""
    places: dict[str, Any] = {"name": cell.name, "root": str(folder.runs)}
    if cell.recording is not None:
        places["data"] = str(folder.recordings / cell.recording.name)
    elif cell.command == "run":
        places["teachers"] = tuple(str(design.teachers[game]) for game in cell.games)
    options = {"games": cell.games, "seed": cell.seed, **cell.settings, **places}
    path = folder.runs / cell.name
    return Job(
        cell.name,
        (cell.command, *_flags(options)),
        (cell.command, "--resume", str(path)),
        folder.logs / f"{cell.name}.log",
        path,
        () if cell.recording is None else (_key(cell.recording),),
    )


def _key(recording: WantedRecording) -> str:
    return f"recording {recording.name}"


def _flags(options: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(str, cast(tuple[object, ...], value))]
        else:
            words += [f"--{flag}", str(value)]
    return words
