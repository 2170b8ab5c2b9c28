"""The whole way of an experiment: which cells are left, run them, keep their scores, make the results."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console

from cluster.experiment.commands import cell_job, recording_job
from cluster.experiment.design import Cell, Design, Experiment
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.jobs import Job, Outcome, run_jobs
from cluster.experiment.measures import measure_beside
from cluster.experiment.results import write_results
from cluster.experiment.score_rows import ScoreRow, append_rows, read_rows, rows_of
from cluster.output.shell import command_line
from cluster.ray.cluster import RayCluster, ray_cluster
from cluster.ray.typed_ray import typed_ray
from cluster.run.stop_request import StopRequest
from cluster.state.folder import RunFolder
from distill.config import BufferConfig
from distill.errors import ConfigError, RunError
from distill.scores import score_ratio

log = logging.getLogger(__name__)

_LAST_BYTES = 4096


@dataclass(frozen=True)
class Plan:
    """An experiment as it is to be conducted.

    Attributes:
        experiment: which.
        design: with what.
        folder: where its scores are, and what is made of them.
        cells: all of it.
        left: those that have no scores yet.
    """

    experiment: Experiment
    design: Design
    folder: ExperimentFolder
    cells: Sequence[Cell]
    left: Sequence[Cell]

    @classmethod
    def of(cls, experiment: Experiment, design: Design, folder: ExperimentFolder) -> "Plan":
        """Find out what is left to do.

        Raises:
            ConfigError: if the experiment needs more games, a cell's settings are none, or scores of the same cell were
                made with others.
            RunError: if scores are damaged.
        """
        if len(design.games) < experiment.fewest_games:
            raise ConfigError(
                f"games: {experiment.name} needs at least {experiment.fewest_games}, found {' '.join(design.games)}"
            )
        cells = list(experiment.cells(design))
        known = {row.cell: row.identity for row in read_rows(folder.scores)}
        for cell in cells:
            wanted = cell.identity(design.teachers)
            if cell.name in known and known[cell.name] != wanted:
                raise ConfigError(_other_settings(folder, cell, known[cell.name], wanted))
        return cls(experiment, design, folder, cells, [cell for cell in cells if cell.name not in known])

    @property
    def jobs(self) -> list[Job]:
        """What is left to do, recordings just before the first cell that needs them."""
        jobs: dict[str, Job] = {}
        for cell in self.left:
            if cell.recording is not None:
                recording = recording_job(cell.recording, self.design, self.folder)
                jobs.setdefault(recording.name, recording)
            jobs[cell.name] = cell_job(cell, self.design, self.folder)
        return list(jobs.values())


def conduct(plan: Plan, console: Console) -> None:
    """Run the cells that are left, and make the results of all that there are.

    Raises:
        RunError: if cells have failed, with their logs; the others were run all the same.
    """
    folder = plan.folder
    folder.make()
    failed: list[str] = []
    with folder.claim(), StopRequest("what the cells have learned") as stop:
        if plan.left:
            console.print(f"{plan.experiment.name}: {len(plan.left)} of {len(plan.cells)} cells to run")
            for outcome in _outcomes(plan, stop):
                if told := _take(plan, outcome, console):
                    failed.append(told)
        if not stop.requested and not failed:
            measure_beside(plan.experiment, plan.design, folder)
        if write_results(plan.experiment, folder) is not None:
            console.print(f"results: {folder.table}, {folder.picture}, {folder.page}", soft_wrap=True)
    if failed:
        raise RunError(f"experiment {plan.experiment.name}: {len(failed)} failed: {'; '.join(failed)}")
    if stop.requested:
        console.print(f"stopped; `distill experiment {plan.experiment.name}` with the same options goes on")


def _outcomes(plan: Plan, stop: StopRequest) -> Iterator[Outcome]:
    with contextlib.ExitStack() as stack:
        cluster: RayCluster = stack.enter_context(ray_cluster(None, BufferConfig()))
        gpus = typed_ray.cluster_resources().get("GPU", 0.0)
        # As many at once as there are cores, which share the GPUs evenly.
        yield from run_jobs(plan.jobs, cluster, min(1.0, gpus / cluster.cores), stop)


def _take(plan: Plan, outcome: Outcome, console: Console) -> str | None:
    """Keep the scores of a job that is done; return what is to be told of one that has failed."""
    cell = next((cell for cell in plan.left if cell.name == outcome.name), None)
    job = next(job for job in plan.jobs if job.name == outcome.name)
    minutes = f"{outcome.seconds / 60.0:.1f} minutes"
    if outcome.state == "failed":
        told = f"{outcome.name} ({job.log}: {_last_line(job)})"
        console.print(f"failed: {told}", soft_wrap=True)
        return told
    if outcome.state == "lacking":
        console.print(f"not begun: {outcome.name}, whose recording is not there")
        return None
    if outcome.state != "done":
        return None
    if cell is None:
        console.print(f"done: {outcome.name}, {minutes}")
        return None
    run = RunFolder(job.folder)
    if not run.evaluation.exists():
        # Somebody else has asked it to stop; it has saved, and goes on the next time.
        console.print(f"stopped before its end: {outcome.name}")
        return None
    rows = rows_of(cell, run, cell.identity(plan.design.teachers))
    append_rows(plan.folder.scores, rows)
    console.print(f"done: {outcome.name}, {minutes}: {_told(rows)}")
    return None


def _told(rows: Sequence[ScoreRow]) -> str:
    parts: list[str] = []
    teachers = {row.game: fmean(row.scores) for row in rows if row.player == "teacher"}
    for row in rows:
        if row.player == "teacher":
            continue
        mean = fmean(row.scores)
        ratio = score_ratio(row.game, mean, teachers[row.game]).value if row.game in teachers else None
        parts.append(f"{row.game} {mean:,.1f}" + ("" if ratio is None else f", {ratio:.1%} of the teacher"))
    return "; ".join(parts)


def _last_line(job: Job) -> str:
    try:
        with job.log.open("rb") as file:
            file.seek(max(0, job.log.stat().st_size - _LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")


def _other_settings(folder: ExperimentFolder, cell: Cell, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
    differ = "; ".join(f"{name} {known.get(name)}, now {wanted.get(name)}" for name in names)
    return (
        f"experiment: {folder.scores} has scores of cell {cell.name} with other settings: {differ}; give these, or"
        " another --out, which keeps both"
    )


def shown(job: Job) -> str:
    """Return a job's command as a shell reads it."""
    return command_line("distill", *job.begin)
