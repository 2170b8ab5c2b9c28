"""What a trainer needs to know of the configuration; without PyTorch, for those who only hand it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from distill.config import LearnerConfig, StudentConfig, TrainingConfig
from distill.teach_config import QLearnerConfig


@dataclass(frozen=True)
class StudentPlan:
    """What a student's trainer needs to know of the configuration.

    Attributes:
        student: network, loss and temperature.
        training: device, replay and checkpoints.
        learner: budget, batch size and optimizer.
        chunk_steps: usual steps per chunk.
        eval_every: updates between versions.
        seed: the run's seed.
        rank: rank of its reader of the buffer.
        taus: temperatures of games whose labels have another one than `student` says.
        teachers: lineage of models per game whose `best` is the teacher; none if teachers are fixed.
        labels: with such lineages, label anew what is sampled, or learn from the present teacher's own chunks alone.
    """

    student: StudentConfig
    training: TrainingConfig
    learner: LearnerConfig
    chunk_steps: int
    eval_every: int
    seed: int
    rank: int = 0
    taus: Mapping[str, float] = field(default_factory=dict[str, float])
    teachers: Mapping[str, str] | None = None
    labels: Literal["fresh", "stored"] = "stored"

    @property
    def ranks(self) -> int:
        """How many learners make its updates together."""
        return self.learner.learners

    def shared(self) -> "StudentPlan":
        """Return the plan of one rank: every number of samples or transitions is divided by that of the ranks."""
        training, learner, ranks = self.training, self.learner, self.ranks
        return replace(
            self,
            training=training.model_copy(
                update={
                    "replay_capacity": -(-training.replay_capacity // ranks),
                    "min_replay": -(-training.min_replay // ranks),
                }
            ),
            learner=learner.model_copy(
                update={
                    "batch_size": learner.optimization.batch_size // ranks,
                    "sample_to_insert_window": learner.sample_to_insert_window / ranks,
                }
            ),
        )


@dataclass(frozen=True)
class QPlan:
    """What a Q-learner's trainer needs to know of the configuration.

    Attributes:
        lineage: lineage of models that gets its candidates.
        training: device, replay and checkpoints.
        learner: budget, algorithm and optimizer.
        chunk_steps: usual steps per chunk.
        seed: the run's seed.
        preset: name of the preset, for the card.
        commit: commit of this program, for the card.
        initial: model file as bytes to begin with, or None for random weights.
    """

    lineage: str
    training: TrainingConfig
    learner: QLearnerConfig
    chunk_steps: int
    seed: int
    preset: str
    commit: str
    initial: bytes | None = None

    @property
    def ranks(self) -> int:
        """How many learners make its updates together."""
        return 1


Plan = StudentPlan | QPlan
