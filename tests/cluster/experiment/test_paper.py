"""The paper's figures: their geometric means are those that the paper states, or that were computed from it."""

import pytest

from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.paper import published, published_geometric_mean

FOUR = ("breakout", "freeway", "pong", "qbert")
TEN = ("beam_rider", "breakout", "enduro", "freeway", "ms_pacman", "pong", "qbert", "riverraid", "seaquest",
       "space_invaders")  # fmt: skip


@pytest.mark.parametrize(
    "table, variant, games, expected",
    [
        ("losses", "mse", FOUR, 79.0),
        ("losses", "nll", FOUR, 102.5),
        ("losses", "kl", FOUR, 111.3),
        ("compression", "net1", TEN, 108.3),
        ("compression", "net2", TEN, 101.7),
        ("compression", "net3", TEN, 83.9),
        ("multi-game", "dqn", ("qbert", "pong", "freeway"), 83.5),
        ("multi-game", "kl", ("freeway", "pong", "qbert"), 116.9),
        ("multi-game", "kl", TEN, 89.3),
        ("losses", "kl", ("breakout", "ms_pacman"), None),
        (None, "kl", FOUR, None),
    ],
)
def test_geometric_means(table: str | None, variant: str, games: tuple[str, ...], expected: float | None):
    found = published_geometric_mean(table, variant, games)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.06))


@pytest.mark.parametrize("variant", ["mse", "nll", "kl"])
@pytest.mark.parametrize("game", FOUR)
def test_per_cents_are_those_of_the_scores(game: str, variant: str):
    score, teacher = published("losses", game, variant, "score"), published("losses", game, "teacher", "score")
    assert score is not None
    assert teacher is not None
    # Printed with one decimal.
    assert published("losses", game, variant, "percent") == pytest.approx(100.0 * score / teacher, abs=0.4)


def test_every_table_is_one_of_an_experiment():
    tables = {experiment.paper for experiment in EXPERIMENTS.values()} - {None}
    assert tables == {"losses", "compression", "multi-game"}
