"""How a run begins: everything is checked before anything is made, then its folder is made or opened again."""

from pathlib import Path

from rich.console import Console

from cluster.run.checks import require_surroundings
from cluster.run.drive import Run, drive
from cluster.run.ending import begun
from cluster.run.resumable import require_checkpoints
from cluster.state.folder import FORMAT, RunFolder, open_run
from cluster.state.given import GivenModels
from cluster.state.kinds import AnyConfig, initial_model, kind_of, plans_of, with_teachers
from distill.config import flatten
from distill.errors import ConfigError
from distill.model_card import read_card
from learner.plans import QPlan
from learner.q_trainer import require_initial


def start_run(config: AnyConfig, console: Console) -> RunFolder:
    """Make a new run and see it through, or until it is asked to stop.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    config, teachers = with_teachers(config)
    given = GivenModels.read(teachers, initial_model(config))
    _require_initial(config, given)
    require_surroundings(config)
    with begun(config, config.general.games, given) as folder:
        drive(Run(folder, config, given), console)
    return folder


def resume_run(path: Path, config: AnyConfig, console: Console, *, accept_loss: bool = False) -> RunFolder:
    """Go on with a run from its newest checkpoints.

    Args:
        path: the run's folder.
        config: its configuration, with whatever the user changed.
        console: where to draw.
        accept_loss: go on though checkpoints that were written are gone, see `require_checkpoints`.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    folder, before = open_run(type(config), path, oldest=FORMAT)
    _require_same(folder, before, config)
    config, teachers = with_teachers(config)
    given = GivenModels.read(teachers, initial_model(config))
    require_surroundings(config)
    with folder.claim():
        given.require_recorded(folder)
        require_checkpoints(folder, kind_of(config).lineages, accept_loss=accept_loss)
        folder.write_config(config, folder.run_id(), folder.name, list(config.general.games), folder.path.parent)
    drive(Run(folder, config, given), console)
    return folder


def _require_initial(config: AnyConfig, given: GivenModels) -> None:
    """Check that the Q-learners can begin with the model that is named, if one is. Raises DistillError."""
    if given.initial_file is None:
        return
    card = read_card(given.initial_file)
    for plan, actions in plans_of(config, kind_of(config), "", given.initial).values():
        if isinstance(plan, QPlan):
            require_initial(card, plan.learner, actions)


def _require_same(folder: RunFolder, before: AnyConfig, after: AnyConfig) -> None:
    """Refuse changes that a run's checkpoints, chunks or models would not fit.

    Raises:
        ConfigError: naming the settings.
    """
    old, new = flatten(before), flatten(after)
    changed = [f"{key} is {old[key]}, found {new[key]}" for key in kind_of(after).fixed if old[key] != new[key]]
    if changed:
        raise ConfigError(
            f"resume {folder.path}: {'; '.join(changed)}; a run keeps these, so start a new one with them"
        )
