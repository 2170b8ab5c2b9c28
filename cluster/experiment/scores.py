"""The scores of an experiment, put together by variant, game and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cluster.experiment.design import Experiment
from cluster.experiment.score_rows import ScoreRow
from distill.statistics import Pair, Seeds


@dataclass(frozen=True)
class Scores:
    """What the cells of an experiment have scored so far.

    Attributes:
        experiment: which.
        rows: of its scores, in any order.
    """

    experiment: Experiment
    rows: Sequence[ScoreRow]

    @cached_property
    def games(self) -> list[str]:
        """The games that were played, sorted."""
        return sorted({row.game for row in self.rows})

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of the cells, sorted."""
        return sorted({row.seed for row in self.rows})

    @cached_property
    def variants(self) -> list[str]:
        """The keys of the variants that have scores, in the experiment's order."""
        there = {row.variant for row in self.rows}
        return [variant.key for variant in self.experiment.variants if variant.key in there]

    def of(self, variant: str, game: str, partner: str | None = None) -> list[ScoreRow]:
        """Return the rows of what the cells of a variant have trained at a game, by seed.

        Args:
            variant: its key.
            game: that was played.
            partner: the other game that the cell trained; any if None.
        """
        found = [
            row
            for row in self.rows
            if (row.variant, row.game) == (variant, game)
            and row.player != "teacher"
            and (partner is None or partner in row.games)
        ]
        if any(row.player == "student" for row in found):
            found = [row for row in found if row.player == "student"]
        return sorted(found, key=lambda row: row.seed)

    def teacher(self, game: str) -> Seeds:
        """Return the scores of a game's fixed teacher, once for each seed; cells of one seed see the same episodes."""
        by_seed = {row.seed: row.scores for row in self.rows if (row.player, row.game) == ("teacher", game)}
        return [by_seed[seed] for seed in sorted(by_seed)]

    def pair(self, variant: str, game: str, partner: str | None = None) -> Pair | None:
        """Return the students of a variant at a game and their teacher, None if one of them was not played."""
        rows, teacher = self.of(variant, game, partner), self.teacher(game)
        return Pair(game, [row.scores for row in rows], teacher) if rows and teacher else None

    def pairs(self, variant: str, games: Sequence[str] | None = None) -> list[Pair]:
        """Return those of all games, or of these games, that have one."""
        found = (self.pair(variant, game) for game in (self.games if games is None else games))
        return [pair for pair in found if pair is not None]

    def common_games(self, *variants: str) -> list[str]:
        """Return the games that all these variants have scores of."""
        return [game for game in self.games if all(self.pair(variant, game) for variant in variants)]
