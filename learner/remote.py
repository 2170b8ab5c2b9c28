"""The Ray actors around trainers."""

import os
from collections.abc import Mapping
from pathlib import Path

import ray
import torch

from distill.protocols import Services
from learner.q_trainer import QPlan, QTrainer
from learner.status import LearnerStatus
from learner.student_trainer import StudentPlan, StudentTrainer


@ray.remote
class RemoteLearner:
    """A trainer in a process of its own, with a feed thread."""

    def __init__(
        self, plan: StudentPlan | QPlan, actions: Mapping[str, int], services: Services, directory: Path, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        if isinstance(plan, QPlan):
            self._trainer = QTrainer(plan, actions, services, directory, threaded=True)
        else:
            self._trainer = StudentTrainer(plan, actions, services, directory, threaded=True)

    def pid(self) -> int:
        """Return the process, for those who watch it."""
        return os.getpid()

    def advance(self, seconds: float) -> LearnerStatus:
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
