"""Who should play while the teacher labels."""

from collections.abc import Sequence

from cluster.experiment.cells import live_student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant

_LATER = "a study of 2024 on 11 games"


def _cells(design: Design) -> Sequence[Cell]:
    rising = max(1, design.budget.updates // 4)
    return [
        live_student(design, driver, game, seed, student="net1", loss="kl", driver=driver, student_share_updates=rising)
        for seed in design.seeds
        for game in design.games
        for driver in ("teacher", "student", "mixture")
    ]


DRIVER = Experiment(
    name="driver",
    title="Driver",
    question="Who should pick the actions while the teacher labels: the teacher, the student, or both in turn?",
    variants=(
        Variant("teacher", "teacher-driven"),
        Variant("student", "student-driven"),
        Variant("mixture", "mixed"),
    ),
    cells=_cells,
    claims=(Claim("student", "teacher", _LATER), Claim("mixture", "teacher", _LATER)),
    remarks=(
        "Who drives is the student of that moment, so the data is played while it learns, for the teacher-driven"
        " students as well; all see equally many transitions. The mixture gives half of the episodes to the student"
        " after a quarter of the updates.",
        "All students are net1.",
    ),
)
