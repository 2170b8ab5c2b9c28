"""Whether a game is learned better together with another one."""

from collections.abc import Sequence
from itertools import combinations

from cluster.experiment.cells import student
from cluster.experiment.design import Cell, Design, Experiment, Variant

ALONE, PAIR = "alone", "pair"
_NETWORK = "multi3"


def _cells(design: Design) -> Sequence[Cell]:
    cells: list[Cell] = []
    for seed in design.seeds:
        cells += [student(design, ALONE, (game,), seed, student=_NETWORK, loss="kl") for game in design.games]
        cells += [
            student(design, PAIR, pair, seed, student=_NETWORK, loss="kl") for pair in combinations(design.games, 2)
        ]
    return cells


TRANSFER = Experiment(
    name="transfer",
    title="Transfer between games",
    question="Does a student play a game better or worse when it learns another one as well?",
    variants=(Variant(ALONE, "alone"), Variant(PAIR, "together")),
    cells=_cells,
    fewest_games=2,
    form="pairs",
    remarks=(
        f"All students are {_NETWORK}, and make as many updates for a game together with another one as alone.",
        "The test is Welch's t-test, two-sided, with one observation a training seed; p-values are corrected for the"
        " number of tests by Holm's method.",
    ),
)
