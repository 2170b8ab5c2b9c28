"""One student for all games, beside single-game students and one network that DQN trains on all games."""

from collections.abc import Sequence

from cluster.experiment.cells import q_learner, student
from cluster.experiment.design import Cell, Claim, Design, Experiment, Variant

NETWORK = "multi10"


def _cells(design: Design) -> Sequence[Cell]:
    cells: list[Cell] = []
    for seed in design.seeds:
        cells += [student(design, "alone", (game,), seed, student="teacher", loss="kl") for game in design.games]
        cells += [student(design, loss, design.games, seed, student=NETWORK, loss=loss) for loss in ("nll", "kl")]
        cells.append(q_learner(design, "dqn", design.games, seed, NETWORK))
    return cells


MULTI_GAME = Experiment(
    name="multi-game",
    title="Many games, one network",
    question="What does a network lose by playing all games, distilled or by DQN, against single-game students?",
    variants=(
        Variant("alone", "single-game, KL"),
        Variant("dqn", f"{NETWORK} by DQN"),
        Variant("nll", f"{NETWORK}, NLL"),
        Variant("kl", f"{NETWORK}, KL"),
    ),
    cells=_cells,
    claims=(Claim("kl", "nll"), Claim("kl", "dqn"), Claim("nll", "dqn")),
    paper="multi-game",
    fewest_games=2,
    remarks=(
        "The multi-game student makes as many updates for every game as a single-game student does.",
        "The paper's single-game students are in its other tables. Its three-game figures are of a smaller network.",
    ),
)
