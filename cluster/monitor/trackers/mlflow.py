"""MLflow: where is said by its own variables, MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""

import importlib
import os
import time
from collections.abc import Mapping
from typing import Any

from cluster.monitor.trackers.tracker import Tracked

EXPERIMENT = "policy-distillery"
RUN_ID = "distill.run_id"
"""Tag by which a resumed run finds its run there."""
_MOST_METRICS = 1_000
_MOST_PARAMETERS = 100
_LONGEST_PARAMETER = 500
"""Characters; what a server of MLflow takes at a time, and as one value."""


class MLflow:
    """Logs figures to a run of MLflow; see `Tracker`.

    Args:
        run: what is tracked.
    """

    def __init__(self, run: Tracked) -> None:
        self._entities: Any = importlib.import_module("mlflow.entities")  # an extra
        self._client: Any = importlib.import_module("mlflow").MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        where = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        before = self._client.search_runs([where], filter_string=f"tags.`{RUN_ID}` = '{run.run_id}'")
        if before:
            self._id = before[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._id = self._client.create_run(where, run_name=run.name, tags={RUN_ID: run.run_id}).info.run_id
            self._log_settings(run.settings)

    def _log_settings(self, settings: Mapping[str, Any]) -> None:
        # A parameter cannot be changed any more, so they are those that the run has begun with.
        parameters = [self._entities.Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in settings.items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[start : start + _MOST_PARAMETERS])

    def write(self, updates: int, values: Mapping[str, float]) -> None:
        """Log figures, and wait until the store has them."""
        now = time.time_ns() // 1_000_000
        metrics = [self._entities.Metric(name, value, now, updates) for name, value in values.items()]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MOST_METRICS])

    def close(self) -> None:
        """Say that the run has ended."""
        self._client.set_terminated(self._id)
