"""The cells of all experiments: that they are runs which `distill` accepts, and that they are known again."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.commands.online import OnlineOptions
from cluster.commands.options import parse_options
from cluster.commands.run import RunOptions
from cluster.commands.teach import TeachOptions
from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.commands import cell_job, recording_job
from cluster.experiment.conduct import Plan
from cluster.experiment.design import Budget, Design, Experiment
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.score_rows import ScoreRow, append_rows
from distill.config import RunConfig, flatten, is_run_name
from distill.errors import ConfigError
from distill.games import known_games
from distill.teach_config import OnlineConfig, TeachConfig
from tests.support.sandbox import TEACHERS

KINDS = {"run": (RunConfig, RunOptions), "teach": (TeachConfig, TeachOptions), "online": (OnlineConfig, OnlineOptions)}
GAMES = ("breakout", "freeway", "pong")
BUDGETS = (Budget(256, 10), Budget(100_000, 20_000), Budget(27_000_000, 5_000_000))
every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


def design(budget: Budget = BUDGETS[1], games: tuple[str, ...] = GAMES, seeds: int = 2) -> Design:
    teachers = {game: TEACHERS / f"{game if game in GAMES else 'pong'}.safetensors" for game in games}
    return Design(games, tuple(range(1, seeds + 1)), budget, teachers, 4)


def folder(tmp_path: Path, experiment: Experiment) -> ExperimentFolder:
    found = ExperimentFolder(tmp_path / experiment.name)
    found.make()
    return found


@every_experiment
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: str(budget.transitions))
def test_the_command_of_every_cell_means_its_settings(experiment: Experiment, budget: Budget, tmp_path: Path):
    made = design(budget, seeds=1)
    for cell in experiment.cells(made):
        job = cell_job(cell, made, ExperimentFolder(tmp_path))
        kind, options = KINDS[job.begin[0]]
        parsed = parse_options(cast(Any, options), job.begin[1:], job.begin[0], "")
        config = kind(**{section: getattr(parsed, section) for section in kind.model_fields})
        said, meant = flatten(config), flatten(cell.config())
        for place in ("name", "root", "teachers", "data"):
            said.pop(place, None)
            meant.pop(place, None)
        assert said == meant
        assert config.general.name == cell.name
        assert config.general.serial


@every_experiment
def test_cells_have_names_of_their_own_and_variants_that_are_told(experiment: Experiment):
    cells = experiment.cells(design(games=known_games()[:12]))
    names = Counter(cell.name for cell in cells)
    assert names.most_common(1)[0][1] == 1
    assert all(is_run_name(name) for name in names)
    keys = [variant.key for variant in experiment.variants]
    assert {cell.variant for cell in cells} == set(keys)
    assert {key for claim in experiment.claims for key in (claim.better, claim.worse)} <= set(keys)


@every_experiment
def test_the_first_cells_are_the_same_with_more_seeds(experiment: Experiment):
    few, many = experiment.cells(design(seeds=1)), experiment.cells(design(seeds=3))
    assert [cell for cell in many if cell.seed == 1] == few


@every_experiment
def test_students_learn_from_recordings_that_are_made_before(experiment: Experiment, tmp_path: Path):
    plan = Plan.of(experiment, design(), folder(tmp_path, experiment))
    done: set[str] = set()
    for job in plan.jobs:
        assert set(job.needs) <= done
        done.add(job.name)
    recordings = {cell.recording for cell in plan.cells if cell.recording}
    assert len(plan.jobs) == len(plan.cells) + len(recordings)


def test_small_recordings_reach_beyond_the_beginning_of_episodes(tmp_path: Path):
    jobs = [
        recording_job(cell.recording, design(), ExperimentFolder(tmp_path))
        for cell in EXPERIMENTS["data"].cells(design(seeds=1))
        if cell.recording
    ]
    lanes = {
        words[words.index("--transitions") + 1]: words[words.index("--lanes") + 1] for words in (j.begin for j in jobs)
    }
    assert lanes == {"1562": "1", "6250": "1", "25000": "4", "100000": "16"}


def test_the_paper_has_ten_games_at_once():
    recording = EXPERIMENTS["multi-game"].cells(design(games=known_games()))[0].recording
    assert recording is not None
    assert len(recording.name) < 200
    assert "57-games" not in recording.name or len(known_games()) == 57


def finished(experiment: Experiment, made: Design, name: str) -> ScoreRow:
    cell = next(cell for cell in experiment.cells(made) if cell.name == name)
    identity = cell.identity(made.teachers)
    return ScoreRow(name, identity, cell.variant, cell.games, cell.seed, "pong", "student", (1.0,), 1, 1, 1.0, "c")


def test_finished_cells_are_not_left_to_run(tmp_path: Path):
    losses, made = EXPERIMENTS["losses"], design()
    where = folder(tmp_path, losses)
    append_rows(where.scores, [finished(losses, made, "kl-pong-2")])
    plan = Plan.of(losses, made, where)
    assert {cell.name for cell in plan.cells} - {cell.name for cell in plan.left} == {"kl-pong-2"}


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"budget": Budget(100_000, 10_000)}, "updates 20000, now 10000"),
        ({"budget": Budget(50_000, 20_000)}, "recorded 100000, now 50000"),
        ({"episodes": 8}, "final_episodes 4, now 8"),
        ({"teachers": dict.fromkeys(GAMES, TEACHERS / "qbert.safetensors")}, "teachers"),
    ],
    ids=["updates", "transitions", "episodes", "teachers"],
)
def test_scores_of_another_design_are_not_mixed(changed: dict[str, Any], told: str, tmp_path: Path):
    losses, made = EXPERIMENTS["losses"], design()
    where = folder(tmp_path, losses)
    append_rows(where.scores, [finished(losses, made, "kl-pong-1")])
    with pytest.raises(ConfigError, match=f"kl-pong-1 with other settings: .*{told}"):
        Plan.of(losses, replace(made, **changed), where)


def test_games_that_are_too_few_are_told(tmp_path: Path):
    transfer = EXPERIMENTS["transfer"]
    with pytest.raises(ConfigError, match="transfer needs at least 2"):
        Plan.of(transfer, design(games=("pong",)), folder(tmp_path, transfer))
