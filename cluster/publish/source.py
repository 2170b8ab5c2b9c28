"""What is published: a model file, alone or as the result of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.analysis.run_data import RunData, read_run
from distill.config import BufferConfig, GeneralConfig, MonitoringConfig
from distill.errors import ConfigError
from distill.model_card import ModelCard, read_bounded, read_card
from distill.protocols import STUDENT
from distill.scores import Comparison, GameScore

_OF_A_MACHINE = {
    *(GeneralConfig.model_fields.keys() - {"games", "seed"}),
    *BufferConfig.model_fields,
    *MonitoringConfig.model_fields,
    *("teachers", "data", "initial", "device", "learner_threads"),
}
"""Settings that say where a run was kept and computed, not what it was; a path says more than its owner wants."""


@dataclass(frozen=True)
class Source:
    """A model to publish.

    Attributes:
        path: the model file.
        data: its bytes.
        card: what it says about its network.
        scores: statistics of its episodes, by game.
        comparisons: with its teachers, if its run has played them.
        settings: those of its run that decide on the result; empty if it comes without one.
        environment: of its run, versions of packages and the commit; empty likewise.
    """

    path: Path
    data: bytes
    card: ModelCard
    scores: Mapping[str, GameScore]
    comparisons: tuple[Comparison, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_source(path: Path) -> Source:
    """Return what a model file or a run's folder has to publish.

    Raises:
        ModelFileError: if the file is no model file.
        RunError: if the folder is no run.
        ConfigError: if the run has no result yet.
    """
    run = read_run(path) if path.is_dir() else None
    model = path if run is None else _result(run)
    data, card = read_bounded(model), read_card(model)
    scores = {
        game: GameScore.of(game, card.kind, entry.get("version", 0), entry["scores"])
        for game, entry in card.scores.items()
        if entry.get("scores")
    }
    if run is None:
        return Source(model, data, card, scores)
    comparisons = (run.comparison(game) for game in run.games) if model.stem == STUDENT else ()
    return Source(
        model,
        data,
        card,
        scores,
        tuple(comparison for comparison in comparisons if comparison is not None),
        {name: value for name, value in run.settings.items() if name not in _OF_A_MACHINE},
        {name: run.environment[name] for name in ("git_commit", "versions") if name in run.environment},
    )


def _result(run: RunData) -> Path:
    """Return the model file that a run has left: its student, or the network of a run that trains only one."""
    names = (STUDENT, "-".join(run.games), *run.games)
    found = next((path for name in names if (path := run.path / f"{name}.safetensors").is_file()), None)
    if found is None:
        raise ConfigError(
            f"run {run.name}: expected its result, such as {run.path / f'{STUDENT}.safetensors'}, found none: it has"
            " not ended; publish a version of it after `distill models --export`"
        )
    return found
