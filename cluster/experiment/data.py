"""How many labelled transitions a student needs."""

from collections.abc import Sequence

from cluster.experiment.cells import student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant

_PARTS = (64, 16, 4, 1)


def _key(part: int) -> str:
    return f"1-of-{part}"


def _cells(design: Design) -> Sequence[Cell]:
    return [
        student(
            design, _key(part), (game,), seed, student="net1", loss="kl",
            transitions=max(1, design.budget.transitions // part),
        )
        for seed in design.seeds
        for game in design.games
        for part in _PARTS
    ]  # fmt: skip


DATA = Experiment(
    name="data",
    title="Amount of data",
    question="How does a student's score grow with the number of labelled transitions, at equal updates?",
    variants=tuple(Variant(_key(part), f"1/{part} of the data" if part > 1 else "all of it") for part in _PARTS),
    cells=_cells,
    claims=(Claim(_key(1), _key(_PARTS[0]), "expectation"),),
    remarks=("All students are net1.",),
)
