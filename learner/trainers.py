"""Which trainer carries out which plan."""

from collections.abc import Mapping
from pathlib import Path

from distill.protocols import Services
from learner.plans import Plan, QPlan
from learner.q_trainer import QTrainer
from learner.student_trainer import StudentTrainer
from learner.trainer import Trainer


def trainer_class(plan: Plan) -> type[QTrainer] | type[StudentTrainer]:
    """Return the class whose instances carry out such a plan, to be made in another process."""
    return QTrainer if isinstance(plan, QPlan) else StudentTrainer


def make_trainer(plan: Plan, actions: Mapping[str, int], services: Services, directory: Path) -> Trainer:
    """Return a trainer that fills its replay itself, without a thread; see `Trainer` for the rest."""
    if isinstance(plan, QPlan):
        return QTrainer(plan, actions, services, directory, threaded=False)
    return StudentTrainer(plan, actions, services, directory, threaded=False)
