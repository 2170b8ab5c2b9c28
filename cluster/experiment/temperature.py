"""Which temperature: the sweep from which the paper chose, and how far apart the teacher's q-values lie."""

from collections.abc import Sequence

from cluster.experiment.cells import student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant

TEMPERATURES = (1.0, 0.1, 0.01, 0.001)


def _key(tau: float) -> str:
    return f"tau-{tau:g}"


def _cells(design: Design) -> Sequence[Cell]:
    return [
        student(design, _key(tau), (game,), seed, student="teacher", loss="kl", tau=tau)
        for seed in design.seeds
        for game in design.games
        for tau in TEMPERATURES
    ]


TEMPERATURE = Experiment(
    name="temperature",
    title="Temperature",
    question="How sharp should the teacher's policy be made before a student learns it with KL?",
    variants=tuple(Variant(_key(tau), f"tau {tau:g}") for tau in TEMPERATURES),
    cells=_cells,
    claims=tuple(
        Claim(_key(0.01), _key(tau), "the paper, which chose 0.01 among these") for tau in TEMPERATURES if tau != 0.01
    ),
    measures="action_gaps",
)
