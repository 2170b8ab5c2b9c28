"""How steady a student is that distils the best version of a Q-learner while that one trains."""

from collections.abc import Sequence

from cluster.experiment.cells import online_student
from cluster.experiment.design import Budget, Cell, Design, Experiment, Variant


def _cells(design: Design) -> Sequence[Cell]:
    return [online_student(design, "online", game, seed) for seed in design.seeds for game in design.games]


ONLINE = Experiment(
    name="online",
    title="Online distillation",
    question="Is a student of the best-so-far network steadier than the Q-learner that this network comes from?",
    variants=(Variant("online", "online"),),
    cells=_cells,
    # Below this a Q-learner has hardly left random play, and there is nothing to be steady about.
    budget=Budget(1_000_000, 75_000),
    form="steadiness",
    remarks=(
        "A spread is the standard deviation of the mean scores of all versions of the last half of a training, without"
        " their linear trend; beside it what the luck of the episodes alone would make.",
        "The student's updates follow from the steps, at 2.4 samples a step.",
    ),
)
