"""When a candidate replaces the best model so far: by its ratio to fixed teachers, the paper's rule, or a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

import numpy as np

from distill.games import reference_score
from distill.scores import Floats, mean, score_ratio, stratified_resamples

Scores = Mapping[str, Sequence[float]]
"""Raw episode scores by game."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Rule:
    """How candidates are played, and when one becomes the best.

    Attributes:
        name: `ratio` for a higher mean ratio to fixed teachers, `new-high` for a mean above the best one (the paper's
            rule of online distillation), `confident` for a sequential test.
        look_episodes: episodes per game between two looks at a candidate's scores.
        most_episodes: episodes per game after which a candidate that is still undecided is not promoted.
        best_episodes: fresh episodes per game that a new best model plays; 0 for none.
        promote_above: probability of being better above which `confident` promotes.
        reject_below: probability of being better below which `confident` gives a candidate up.
        curve_episodes: fresh episodes per game that all versions of the last half play after the training.
        epsilon: share of uniformly random actions.
        lanes: emulators of an evaluator; None for one an episode.
        teachers: raw scores of the fixed teachers by game; a game without any counts by its raw mean.
    """

    name: Literal["ratio", "confident", "new-high"]
    look_episodes: int
    most_episodes: int
    best_episodes: int
    promote_above: float = 1.0
    reject_below: float = 0.0
    curve_episodes: int = 0
    epsilon: float = 0.05
    lanes: int | None = None
    teachers: Scores = field(default_factory=dict[str, Sequence[float]])


@dataclass(frozen=True)
class Decision:
    """What is to become of a candidate.

    Attributes:
        verdict: promote it, reject it, or play more episodes.
        probability: that its mean is above the best one's, by the bootstrap; None if there is no best one yet.
        episodes: episodes per game that it has played, of the game with the fewest.
        why: one sentence.
        undecided: whether it is rejected only because no more episodes are played.
    """

    verdict: Literal["promote", "reject", "continue"]
    probability: float | None
    episodes: int
    why: str
    undecided: bool = False


def decide(candidate: Scores, best: Scores | None, rule: Rule) -> Decision:
    """Decide on a candidate after a look at its scores.

    - ratio: promoted if its mean ratio to the fixed teachers is above the best one's, at the first look.
    - new-high: promoted if its mean is above the best mean (paper, online distillation), at the first look.
    - confident: promoted as soon as the bootstrap probability of a higher mean reaches `promote_above`, rejected as
      soon as it falls below `reject_below` or `most_episodes` are played. The many looks at a growing sample are why
      `promote_above` is well above the share of mistakes that is borne.

    Over several games, means are compared on the scale human minus random, and averaged.

    Args:
        candidate: its episodes; the same games as the best one's, or all of the lineage's if there is none.
        best: episodes of the best model so far, None if there is none.
        rule: with its thresholds.
    """
    episodes = min((len(scores) for scores in candidate.values()), default=0)
    if episodes < rule.look_episodes:
        return Decision("continue", None, episodes, f"{episodes} of {rule.look_episodes} episodes for the first look")
    if best is None:
        return Decision("promote", None, episodes, "the first candidate")
    if rule.name == "ratio":
        mine, others = (mean_ratio(scores, rule.teachers) for scores in (candidate, best))
        above = mine > others
        why = f"its mean ratio {mine:.3f} is {'above' if above else 'not above'} the best one's {others:.3f}"
        return Decision("promote" if above else "reject", None, episodes, why)
    probability = _probability_of_gain(candidate, best)
    if rule.name == "new-high":
        above = sum(_gains(candidate, best)) > 0.0
        why = f"its mean is {'above' if above else 'not above'} the best"
        return Decision("promote" if above else "reject", probability, episodes, why)
    return _confident(probability, episodes, rule)


def _confident(probability: float, episodes: int, rule: Rule) -> Decision:
    why = f"better with probability {probability:.3f} after {episodes} episodes"
    if probability >= rule.promote_above:
        return Decision("promote", probability, episodes, why)
    if probability < rule.reject_below:
        return Decision("reject", probability, episodes, why)
    if episodes >= rule.most_episodes:
        why += ", the most that are played; still undecided"
        return Decision("reject", probability, episodes, why, undecided=True)
    return Decision("continue", probability, episodes, f"{why}; undecided")


def mean_ratio(scores: Scores, teachers: Scores) -> float:
    """Return the mean over games of student / teacher; of the raw mean where a teacher gives no usable scale."""
    ratios: list[float] = []
    for game, played in scores.items():
        teacher = teachers.get(game)
        ratio = score_ratio(game, fmean(played), fmean(teacher)).value if teacher else None
        ratios.append(fmean(played) if ratio is None else ratio)
    return fmean(ratios)


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
