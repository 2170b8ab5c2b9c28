"""Weights & Biases: where and how is said by its own variables, such as WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE."""

import importlib
import os
from collections.abc import Mapping
from typing import Any

from cluster.monitor.trackers.tracker import Tracked

PROJECT = "policy-distillery"
AXIS = "updates"


class WeightsAndBiases:
    """Logs figures to a run of Weights & Biases of the same id; see `Tracker`.

    Args:
        run: what is tracked.
    """

    def __init__(self, run: Tracked) -> None:
        wandb: Any = importlib.import_module("wandb")  # an extra
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.run_id,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )
        # A resumed run begins at its checkpoint again, and the library drops what goes back on its own axis.
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def write(self, updates: int, values: Mapping[str, float]) -> None:
        """Log figures, which the library sends from a process of its own."""
        self._run.log({AXIS: updates, **values})

    def close(self) -> None:
        """Wait until all is sent, or written where it is offline."""
        self._run.finish()
