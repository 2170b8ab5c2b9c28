"""The Ray actor around `Trainer`."""

import os
from collections.abc import Mapping
from pathlib import Path

import ray
import torch

from distill.config import RunConfig
from distill.protocols import Services
from learner.progress import Progress
from learner.trainer import Trainer


@ray.remote
class RemoteLearner:
    """A `Trainer` in a process of its own, with a feed thread."""

    def __init__(
        self, config: RunConfig, actions: Mapping[str, int], services: Services, directory: Path, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self._trainer = Trainer(config, actions, services, directory, threaded=True)

    def pid(self) -> int:
        """Return the process, for those who watch it."""
        return os.getpid()

    def advance(self, seconds: float) -> Progress:
        """See `Trainer.advance`."""
        return self._trainer.advance(seconds)

    def record_score(self, version: int, score: float) -> None:
        """See `Trainer.record_score`."""
        self._trainer.record_score(version, score)

    def publish_final(self) -> int:
        """See `Trainer.publish_final`."""
        return self._trainer.publish_final()

    def close(self) -> None:
        """See `Trainer.close`."""
        self._trainer.close()
