"""What a report knows of one run: everything that its folder says, and what is missing or damaged in it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from cluster.analysis.curves import Timeline, drawn
from cluster.models.decisions import Promotion
from cluster.models.mirror import ModelMirror, mirrored_lineages
from cluster.models.promotions import read_promotions
from cluster.state.folder import (
    CONFIG,
    ENVIRONMENT,
    EVALUATIONS,
    METRICS,
    OF_FOLDER,
    SITTINGS,
    RunFolder,
    open_any_run,
    require_config,
)
from cluster.state.json_lines import read_lines
from cluster.state.rows import (
    CollectorPoint,
    LearnerPoint,
    Look,
    MetricsPoint,
    looks,
    metrics_point,
    scores_of,
    superseded_left_out,
)
from cluster.state.yaml_file import read_yaml
from distill.errors import ConfigError, DistillError, RunError
from distill.protocols import STUDENT
from distill.scores import Comparison, GameScore, compare

T = TypeVar("T")


@dataclass(frozen=True)
class RunData:
    """One run.

    Attributes:
        name: short, and its own among the runs of a report.
        path: the folder.
        command: that made it: run, teach or online.
        games: by ROM name.
        state: finished, running or stopped.
        settings: as they were recorded.
        environment: versions, commit, start.
        metrics: lines of metrics.
        looks: evaluations of versions, oldest version first.
        final: scores of the evaluation that ended the run, by player and game.
        evaluation_seconds: that the evaluation at the end took, by player and game.
        promotions: by lineage, oldest first.
        verdicts: by lineage, how often each was given.
        videos: MP4 files.
        notes: what is missing, damaged or unusual, a sentence each.
    """

    name: str
    path: Path
    command: str
    games: tuple[str, ...]
    state: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[MetricsPoint]
    looks: list[Look]
    final: dict[tuple[str, str], GameScore]
    evaluation_seconds: dict[tuple[str, str], float]
    promotions: dict[str, list[Promotion]]
    verdicts: dict[str, dict[str, int]]
    videos: list[Path]
    notes: list[str]

    @property
    def player(self) -> str:
        """Whose scores the run is about: the student's, or the Q-learner's if it has no student."""
        return "student" if self.distils else "teacher"

    @property
    def distils(self) -> bool:
        """Whether the run has a student."""
        return "student" in self.settings

    @property
    def taught(self) -> bool:
        """Whether the student's teachers are fixed files, so that there is no Q-learner."""
        return "teachers" in self.settings

    @property
    def lineages(self) -> list[str]:
        """All learners' lineages, the student's last."""
        named = {lineage: None for point in self.metrics for lineage in point.learners}
        return sorted(named, key=lambda lineage: (lineage == STUDENT, lineage))

    def learner(self, lineage: str) -> list[LearnerPoint]:
        """Return a learner's points, oldest first, without those that a resumed run did again."""
        return superseded_left_out([point.learners[lineage] for point in self.metrics if lineage in point.learners])

    def collectors(self) -> dict[str, list[CollectorPoint]]:
        """Return every collecting actor's points, oldest first."""
        found: dict[str, list[CollectorPoint]] = {}
        for point in self.metrics:
            for name, collector in point.collectors.items():
                found.setdefault(name, []).append(collector)
        return found

    @cached_property
    def drawn(self) -> list[Look]:
        """One look of every version at a game, oldest version first; see `cluster.analysis.curves.drawn`."""
        return drawn(((look.lineage, look.game, look.version), look.purpose, look.block, look) for look in self.looks)

    def comparison(self, game: str) -> Comparison | None:
        """Return student against teacher at the end of the run, None if one of them was not evaluated."""
        student, teacher = self.final.get(("student", game)), self.final.get(("teacher", game))
        return compare(student, teacher) if student and teacher else None

    def timeline(self, lineage: str) -> Timeline:
        """Return when a learner had trained for how long."""
        points = [(point.time, point.learners[lineage]) for point in self.metrics if lineage in point.learners]
        return Timeline([time for time, _ in points], [learner.seconds / 60.0 for _, learner in points])

    def seconds_at(self, look: Look) -> float | None:
        """Return the seconds of training after which a version was published, from the metrics if need be."""
        points = self.learner(look.lineage)
        if look.seconds is not None or look.updates is None or not points:
            return look.seconds
        # A version is published between two lines of metrics.
        return float(np.interp(look.updates, [p.updates for p in points], [p.seconds for p in points]))


def read_run(path: Path) -> RunData:
    """Return what a run's folder says.

    Raises:
        RunError: if there is no run at `path`.
        ConfigError: if its configuration is damaged.
    """
    folder, notes = RunFolder(path.resolve()), list[str]()
    recorded = {"command": "run"} | read_yaml(require_config(path))
    settings = {name: value for name, value in recorded.items() if name not in OF_FOLDER}
    try:
        open_any_run(path)
    except ConfigError as error:
        notes.append(f"Another version of this program made the run: {error}.")
    metrics = _lines(path / METRICS, metrics_point, notes)
    rows = _lines(path / EVALUATIONS, looks, notes)
    if not metrics:
        notes.append("There are no metrics: no curves of the loss, and no times.")
    if not rows:
        notes.append("Nothing was evaluated during the run: no curves of scores.")
    final, seconds = _final_scores(folder, notes)
    promotions, verdicts = _decisions(folder.path, notes)
    state = _state(folder, notes)
    if not final:
        notes.append("There is no evaluation at the end: the run is in no aggregate.")
    sittings = _lines(path / SITTINGS, dict, notes)
    if len(sittings) > 1:
        notes.append(f"The run was resumed {len(sittings) - 1} times.")
    return RunData(
        name=folder.name,
        path=folder.path,
        command=str(settings["command"]),
        games=_games(settings, path),
        state=state,
        settings=settings,
        environment=_environment(folder.path, notes),
        metrics=metrics,
        # What is played after the training is not in the order of the versions.
        looks=sorted((look for row in rows for look in row), key=lambda look: look.version),
        final=final,
        evaluation_seconds=seconds,
        promotions=promotions,
        verdicts=verdicts,
        videos=sorted((folder.path / "videos").glob("*.mp4")),
        notes=notes,
    )


def _lines(path: Path, parse: Callable[[Mapping[str, Any]], T], notes: list[str]) -> list[T]:
    try:
        rows, damaged = read_lines(path, parse)
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error.strerror}) and is left out.")
        return []
    if damaged:
        notes.append(f"{path.name}: {damaged} damaged line{'s' * (damaged > 1)} left out.")
    return rows


def _games(settings: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    games = settings.get("games")
    if not isinstance(games, list) or not all(isinstance(game, str) for game in cast(list[object], games)):
        raise ConfigError(f"{path / CONFIG}: games: expected a list of names, found {games!r}; mend the file")
    return tuple(cast(list[str], games))


def _state(folder: RunFolder, notes: list[str]) -> str:
    if folder.in_use():
        notes.append(f"The run was going on when this report was made ({time.strftime('%Y-%m-%d %H:%M:%S %Z')}).")
        return "running"
    if folder.evaluation.exists() or any(folder.path.glob("*.safetensors")):
        return "finished"
    notes.append("The run was stopped before its end.")
    return "stopped"


def _environment(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = json.loads((path / ENVIRONMENT).read_bytes())
    except (OSError, RecursionError, ValueError):
        found = None
    if isinstance(found, dict):
        return cast(dict[str, Any], found)
    notes.append(f"{ENVIRONMENT} is missing or damaged: commit and versions of packages are not known.")
    return {}


def _final_scores(
    folder: RunFolder, notes: list[str]
) -> tuple[dict[tuple[str, str], GameScore], dict[tuple[str, str], float]]:
    final: dict[tuple[str, str], GameScore] = {}
    seconds: dict[tuple[str, str], float] = {}
    if not folder.evaluation.exists():
        return final, seconds
    try:
        for played in json.loads(folder.evaluation.read_bytes())["evaluations"]:
            key = str(played["who"]), str(played["game"])
            final[key] = GameScore.of(key[1], key[0], int(played["version"]), scores_of(played))
            seconds[key] = float(played["seconds"])
    except (OSError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError, DistillError) as error:
        notes.append(f"{folder.evaluation.name} is damaged ({error!r}): the scores at the end are not known.")
        return {}, {}
    return final, seconds


def _decisions(path: Path, notes: list[str]) -> tuple[dict[str, list[Promotion]], dict[str, dict[str, int]]]:
    promotions: dict[str, list[Promotion]] = {}
    verdicts: dict[str, dict[str, int]] = {}
    for lineage in mirrored_lineages(path):
        try:
            promotions[lineage] = read_promotions(path, lineage)
            counts = verdicts.setdefault(lineage, {})
            for given in ModelMirror(path, lineage).decisions().verdicts.values():
                counts[given["verdict"]] = counts.get(given["verdict"], 0) + 1
        except (OSError, AttributeError, KeyError, TypeError, DistillError) as error:
            notes.append(f"The decisions about {lineage} are left out: {error}.")
    return promotions, verdicts


def read_runs(paths: Sequence[Path]) -> list[RunData]:
    """Return several runs, with names that tell them apart.

    Raises:
        RunError: if a folder is no run, or is given twice.
        ConfigError: if a configuration is damaged.
    """
    resolved = [path.resolve() for path in paths]
    if twice := [str(path) for path in resolved if resolved.count(path) > 1]:
        raise RunError(f"report: {twice[0]} is given twice; name each run once")
    runs = [read_run(path) for path in paths]
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.path.parent.name}/{run.name}") if names.count(run.name) > 1 else run for run in runs
    ]
