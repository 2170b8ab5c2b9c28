"""Tells how each game is played by a student that learned it together with another one, minus alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.experiment.blocks import Block, Chart, Findings, Grid, Mark, Sentence, bounds, number
from cluster.experiment.scores import Scores
from cluster.experiment.transfer import ALONE, PAIR
from distill.scores import baseline_of
from distill.statistics import Estimate, Seeds, difference, holm, mean_over_seeds, welch_test

SIGNIFICANT = 0.05
_UNIT = "together minus alone, % of the teacher"


@dataclass(frozen=True)
class _Transfer:
    """What learning another game did to a game.

    Attributes:
        game: that was played.
        partner: that was learned as well.
        gain: in % of the teacher's score above the baseline.
        p: two-sided, not corrected; None if it cannot be known.
    """

    game: str
    partner: str
    gain: Estimate
    p: float | None


def pair_findings(scores: Scores) -> Findings:
    """Return tables and charts of what pairs of games do to each other."""
    found = [
        transfer
        for game in scores.games
        for partner in scores.games
        if partner != game and (transfer := _transfer(scores, game, partner))
    ]
    if not found:
        return Findings([Sentence("No pair of games has been trained both together and alone yet.")], [])
    tested = [(transfer, transfer.p) for transfer in found if transfer.p is not None]
    corrected = {
        (transfer.game, transfer.partner): p
        for (transfer, _), p in zip(tested, holm([p for _, p in tested]), strict=True)
    }
    rows: list[Sequence[str]] = []
    for transfer in found:
        p = corrected.get((transfer.game, transfer.partner))
        rows.append((
            transfer.game,
            transfer.partner,
            f"{transfer.gain.value:+.1f}{bounds(transfer.gain.interval, '+.1f')}",
            number(transfer.p, ".2g"),
            number(p, ".2g"),
            "" if p is None else "yes" if p < SIGNIFICANT else "no",
        ))  # fmt: skip
    head = ("game", "with", "gain, % of the teacher [95 %]", "p", "p, Holm", f"below {SIGNIFICANT:g}")
    significant = sum(p < SIGNIFICANT for p in corrected.values())
    blocks: list[Block] = [
        _matrix(scores, found),
        Grid("Every pair: score together minus score alone", head, rows, 2),
        Sentence(
            f"Of {len(tested)} tests {significant} are significant at {SIGNIFICANT:g} after correction."
            + ("" if len(tested) == len(found) else " Pairs without a test have one seed, or seeds without any spread.")
        ),
    ]
    charts = [
        Chart(
            game,
            _UNIT,
            [Mark(f"with {t.partner}", t.gain.value, t.gain.interval) for t in found if t.game == game],
            0.0,
        )
        for game in scores.games
    ]
    return Findings(blocks, charts)


def _transfer(scores: Scores, game: str, partner: str) -> _Transfer | None:
    alone, together = scores.pair(ALONE, game), scores.pair(PAIR, game, partner)
    if alone is None or together is None:
        return None
    teacher = mean_over_seeds(alone.teacher).value
    scale = teacher - baseline_of(game, teacher)[0]
    if scale <= 0.0:
        return None
    x, y = (_per_cent(pair.student, scale) for pair in (together, alone))
    return _Transfer(game, partner, difference(x, y), welch_test(x, y))


def _per_cent(scores: Seeds, scale: float) -> Seeds:
    return [[100.0 * score / scale for score in episodes] for episodes in scores]


def _matrix(scores: Scores, found: Sequence[_Transfer]) -> Grid:
    gains = {(transfer.game, transfer.partner): f"{transfer.gain.value:+.1f}" for transfer in found}
    rows = [[game, *(gains.get((game, partner), "") for partner in scores.games)] for game in scores.games]
    return Grid(
        "Gain of the row's game when the column's is learned as well, % of the teacher", ["", *scores.games], rows
    )
