"""All trackers by the names of the settings that ask for them, which are those of their packages and extras too."""

import importlib.util
from collections.abc import Callable

from cluster.monitor.trackers.mlflow import MLflow
from cluster.monitor.trackers.tensorboard import TensorBoard
from cluster.monitor.trackers.tracker import Tracked, Tracker
from cluster.monitor.trackers.wandb import WeightsAndBiases
from distill.config import MonitoringConfig
from distill.errors import ConfigError

_TRACKERS: dict[str, Callable[[Tracked], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def wanted_trackers(config: MonitoringConfig) -> list[str]:
    """Return the kinds that a configuration asks for."""
    return [kind for kind in _TRACKERS if getattr(config, kind)]


def require_trackers(config: MonitoringConfig) -> None:
    """Check that the packages are installed which a configuration asks for.

    Raises:
        ConfigError: if one is not.
    """
    for kind in wanted_trackers(config):
        require_tracker(kind)


def require_tracker(kind: str) -> None:
    """Check that a tracker's package is installed; raises ConfigError if it is not."""
    if importlib.util.find_spec(kind) is None:
        raise ConfigError(
            f"{kind}: expected the package of that name, found none; pip install 'policy-distillery[{kind}]'"
        )


def make_tracker(kind: str, run: Tracked) -> Tracker:
    """Return a tracker; raises whatever its library raises."""
    return _TRACKERS[kind](run)
