"""`distill experiment`: the paper's experiments, each one command."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from pydantic import Field
from rich.console import Console
from rich.table import Table

from cluster.commands.options import parse_options
from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.design import Budget, Design, Experiment
from cluster.experiment.folder import ExperimentFolder
from distill.config import Section
from distill.errors import ConfigError
from distill.game_names import Games
from distill.teachers import choose_teachers

if TYPE_CHECKING:
    from cluster.experiment.conduct import Plan

Name = Literal["losses", "temperature", "compression", "multi-game", "transfer", "online", "driver", "data"]
Amount = Annotated[int, Field(ge=1)]
_HOUR = 3600.0


class ExperimentOptions(Section):
    """Run one of the paper's experiments: its cells, a table beside the paper's, a plot, and a page of the report."""

    name: tyro.conf.Positional[Name | None] = None
    """Which; without one, --dry-run and --render take all."""
    games: Games = ()
    """Games to play, by ROM name or Gymnasium id; all that have a teacher if empty."""
    seeds: Annotated[int, Field(ge=1, le=1_000)] = 3
    """How many training seeds, from 1 on; more can be added later."""
    budget: tuple[Amount, Amount] | None = None
    """Labelled transitions per game and seed, and updates of a single-game student; the experiment's own if absent."""
    episodes: Annotated[int, Field(ge=1, le=100_000)] = 32
    """Whole episodes of each network and game at the end of a cell; its teacher plays as many."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them; one teacher a game."""
    out: Path = Path("results")
    """Folder of all experiments; this one's is made in it."""
    dry_run: bool = False
    """Print the cells that are left and how long they will take, and run nothing."""
    render: bool = False
    """Make tables, plots and pages anew from the scores that are there, and run nothing."""
    readme: Path | None = None
    """With --render: document whose section of results is renewed, between its marks."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Run an experiment, or say what it would be, or make its results anew."""
    options = parse_options(ExperimentOptions, arguments, "experiment", ExperimentOptions.__doc__ or "")
    if options.readme is not None and not options.render:
        raise ConfigError("readme: it goes with --render")
    if options.render:
        _render(options, console)
        return
    if options.name is None and not options.dry_run:
        raise ConfigError(f"experiment: name one of {', '.join(EXPERIMENTS)}; --dry-run tells what each would do")
    # What only shows results needs neither Ray nor torch.
    from cluster.experiment.conduct import Plan, conduct  # noqa: PLC0415

    plans = [
        Plan.of(experiment, _design(options, experiment), ExperimentFolder(options.out.absolute() / experiment.name))
        for experiment in _chosen(options)
    ]
    if options.dry_run:
        _tell(plans, console)
    else:
        conduct(plans[0], console)


def _chosen(options: ExperimentOptions) -> list[Experiment]:
    return list(EXPERIMENTS.values()) if options.name is None else [EXPERIMENTS[options.name]]


def _design(options: ExperimentOptions, experiment: Experiment) -> Design:
    teachers = choose_teachers(options.teachers, options.games)
    return Design(
        tuple(teachers),
        tuple(range(1, options.seeds + 1)),
        Budget(*options.budget) if options.budget else experiment.budget,
        {game: teacher.path.absolute() for game, teacher in teachers.items()},
        options.episodes,
    )


def _render(options: ExperimentOptions, console: Console) -> None:
    from cluster.experiment.results import renew_readme, write_results  # noqa: PLC0415 - it draws with matplotlib

    for experiment in _chosen(options):
        folder = ExperimentFolder(options.out / experiment.name)
        if write_results(experiment, folder) is not None:
            console.print(f"{experiment.name}: {folder.table}, {folder.picture}, {folder.page}", soft_wrap=True)
    if options.readme is not None:
        renewed = renew_readme(options.readme, options.out)
        console.print(f"{options.readme}: {'renewed' if renewed else 'as it was'}", soft_wrap=True)


def _tell(plans: "Sequence[Plan]", console: Console) -> None:
    """Print the cells that are left, and the hours that they take on this machine."""
    from cluster.experiment.conduct import shown  # noqa: PLC0415
    from cluster.experiment.estimate import Rates  # noqa: PLC0415 - with torch
    from cluster.ray.cluster import available_cores  # noqa: PLC0415

    left = [cell for plan in plans for cell in plan.left]
    if not left:
        console.print("every cell is there; nothing is left to run")
        return
    rates, cores = Rates.measure(plans[0].design, left), available_cores()
    table = Table("experiment", "cells left", "of", "recordings", "hours of one core", f"hours on {cores}")
    for plan in plans:
        cells = {cell.name: rates.cell(cell) for cell in plan.left}
        recordings = {cell.recording: rates.recording(cell.recording) for cell in plan.left if cell.recording}
        hours = (sum(cells.values()) + sum(recordings.values())) / _HOUR
        counts = (str(len(cells)), str(len(plan.cells)), str(len(recordings)))
        table.add_row(plan.experiment.name, *counts, f"{hours:.2f}", f"{hours / cores:.2f}")
        if len(plans) == 1:
            for job in plan.jobs:
                minutes = f", about {cells[job.name] / 60.0:.1f} minutes" if job.name in cells else ""
                console.print(f"{job.name}{minutes}: {shown(job)}", soft_wrap=True)
    console.print(table)
    console.print(
        f"estimated from {rates.played:,.0f} steps/s that a core of this machine plays now, and its updates likewise"
    )
