"""Which loss: the paper's first table."""

from collections.abc import Sequence

from cluster.experiment.cells import student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant

_LOSSES = ("mse", "nll", "kl")


def _cells(design: Design) -> Sequence[Cell]:
    return [
        student(design, loss, (game,), seed, student="teacher", loss=loss)
        for seed in design.seeds
        for game in design.games
        for loss in _LOSSES
    ]


LOSSES = Experiment(
    name="losses",
    title="Losses",
    question="Which loss lets a student of the teacher's size score best?",
    variants=tuple(Variant(loss, loss.upper()) for loss in _LOSSES),
    cells=_cells,
    claims=(Claim("kl", "nll"), Claim("kl", "mse"), Claim("nll", "mse")),
    paper="losses",
)
