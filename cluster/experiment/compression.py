"""How small a student may be, beside the same networks trained by DQN directly."""

from collections.abc import Sequence

from cluster.experiment.cells import q_learner, student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant
from distill.architectures import ArchitectureName

NETWORKS: tuple[ArchitectureName, ...] = ("net1", "net2", "net3", "one_percent")
DIRECTLY = "-dqn"
"""Ends the key of a network that DQN trained."""


def _cells(design: Design) -> Sequence[Cell]:
    return [
        cell
        for seed in design.seeds
        for game in design.games
        for network in NETWORKS
        for cell in (
            student(design, network, (game,), seed, student=network, loss="kl"),
            q_learner(design, f"{network}{DIRECTLY}", (game,), seed, network),
        )
    ]


COMPRESSION = Experiment(
    name="compression",
    title="Compression",
    question="How much of the teacher's score does a smaller student keep, and what does DQN make of that network?",
    variants=(
        *(Variant(network, network) for network in NETWORKS),
        *(Variant(f"{network}{DIRECTLY}", f"{network} by DQN") for network in NETWORKS),
    ),
    cells=_cells,
    claims=(
        Claim("net1", "net2"),
        Claim("net2", "net3"),
        *(Claim(network, f"{network}{DIRECTLY}") for network in NETWORKS),
    ),
    paper="compression",
    measures="networks",
    remarks=(
        "DQN plays as many steps of a game as the students' recordings have transitions: equal frames. The frames that"
        " the teacher itself was trained on are not counted.",
    ),
)
