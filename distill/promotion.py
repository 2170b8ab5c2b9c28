"""When a candidate replaces the best model so far: the paper's rule, and a sequential test that luck seldom passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from distill.games import reference_score
from distill.scores import Floats, mean, stratified_resamples
from distill.teach_config import PromotionConfig

Scores = Mapping[str, Sequence[float]]
"""Raw episode scores by game."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Decision:
    """What is to become of a candidate.

    Attributes:
        verdict: promote it, reject it, or play more episodes.
        probability: that its mean is above the best one's, by the bootstrap; None if there is no best one yet.
        episodes: episodes per game that it has played, of the game with the fewest.
        why: one sentence.
    """

    verdict: Literal["promote", "reject", "continue"]
    probability: float | None
    episodes: int
    why: str


def decide(candidate: Scores, best: Scores | None, config: PromotionConfig) -> Decision:
    """Decide on a candidate after a look at its scores.

    - new-high: promoted if its mean is above the best mean (paper, online distillation), at the first look.
    - confident: promoted as soon as the bootstrap probability of a higher mean reaches `promote_above`, rejected as
      soon as it falls below `reject_below` or `most_episodes` are played. The many looks at a growing sample are why
      `promote_above` is well above the share of mistakes that is borne.

    Over several games, means are compared on the scale human minus random, and averaged.

    Args:
        candidate: its episodes; the same games as the best one's, or all of the line's if there is none.
        best: episodes of the best model so far, None if there is none.
        config: rule and thresholds.
    """
    episodes = min((len(scores) for scores in candidate.values()), default=0)
    if episodes < config.look_episodes:
        return Decision("continue", None, episodes, f"{episodes} of {config.look_episodes} episodes for the first look")
    if best is None:
        return Decision("promote", None, episodes, "the first candidate")
    probability = _probability_of_gain(candidate, best)
    if config.rule == "new-high":
        above = sum(_gains(candidate, best)) > 0.0
        why = f"its mean is {'above' if above else 'not above'} the best"
        return Decision("promote" if above else "reject", probability, episodes, why)
    verdict, remark = "continue", "; undecided"
    if probability >= config.promote_above:
        verdict, remark = "promote", ""
    elif probability < config.reject_below:
        verdict, remark = "reject", ""
    elif episodes >= config.most_episodes:
        verdict, remark = "reject", ", the most that are played; still undecided"
    why = f"better with probability {probability:.3f} after {episodes} episodes{remark}"
    return Decision(verdict, probability, episodes, why)


def _gains(candidate: Scores, best: Scores) -> list[float]:
    """Return per game the candidate's mean less the best one's, on the game's scale."""
    return [float(np.mean(candidate[g]) - np.mean(best[g])) / _scale(g, len(candidate)) for g in sorted(candidate)]


def _probability_of_gain(candidate: Scores, best: Scores) -> float:
    games = sorted(candidate)
    scales = [_scale(game, len(games)) for game in games]

    def gain(strata: Sequence[Floats]) -> Floats:
        means = [mean(stratum) for stratum in strata]
        pairs = zip(means[: len(games)], means[len(games) :], scales, strict=True)
        return np.sum([(mine - other) / scale for mine, other, scale in pairs], axis=0)

    strata = [*(candidate[game] for game in games), *(best[game] for game in games)]
    gains = stratified_resamples(strata, gain, resamples=RESAMPLES)
    # Equal means are no gain: while all scores are a game's lowest, candidates are given up at the first look.
    return float((gains > 0.0).mean())


def _scale(game: str, games: int) -> float:
    reference = reference_score(game)
    # One game's scale does not matter; without reference scores a game counts by its raw scores.
    return 1.0 if games == 1 or reference is None else abs(reference.human - reference.random)
