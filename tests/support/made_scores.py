"""Scores of experiments as if cells had been run."""

from collections.abc import Mapping, Sequence

import numpy as np

from cluster.experiment.score_rows import Player, ScoreRow

TEACHERS = {"breakout": 100.0, "freeway": 30.0, "pong": 15.0, "qbert": 4000.0}


def row(
    variant: str,
    game: str,
    seed: int,
    scores: Sequence[float],
    *,
    player: Player = "student",
    games: Sequence[str] = (),
    last_half: Mapping[str, float | None] | None = None,
) -> ScoreRow:
    games = games or (game,)
    return ScoreRow(
        cell=f"{variant}-{'-'.join(games)}-{seed}", identity={}, variant=variant, games=games, seed=seed, game=game,
        player=player, scores=scores, updates=500, transitions=4_000, seconds=12.0, commit="c69db4351b99",
        last_half=last_half,
    )  # fmt: skip


def rows(variant: str, game: str, means: Sequence[float], *, games: Sequence[str] = ()) -> list[ScoreRow]:
    """Return a student's and its teacher's rows for every seed.

    Args:
        variant: key.
        game: ROM name.
        means: of every seed, as a share of the teacher's score.
        games: that the cells trained, if more than this one.
    """
    teacher = TEACHERS[game]
    found: list[ScoreRow] = []
    for seed, share in enumerate(means, 1):
        noise = np.random.default_rng(seed).normal(0.0, 0.02 * teacher, 8)
        found.append(row(variant, game, seed, (share * teacher + noise).round(2).tolist(), games=games))
        found.append(row(variant, game, seed, (teacher + noise).round(2).tolist(), games=games, player="teacher"))
    return found
