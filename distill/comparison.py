"""Whether one model plays better than another, by a sequential test, and how often such a test is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from distill.promotion import Rule, Scores, decide
from distill.scores import Floats

Outcome = Literal["better", "not better", "undecided"]

GAIN = 0.5
"""In standard deviations of an episode's score: the gain of which it is said how often it is missed."""
SIMULATIONS = 200


@dataclass(frozen=True)
class Verdict:
    """What was found about a new model beside an old one.

    Attributes:
        outcome: of the test.
        probability: that the new one's mean is higher, by the bootstrap.
        episodes: that each of them has played at every game.
    """

    outcome: Outcome
    probability: float
    episodes: int


@dataclass(frozen=True)
class ErrorRates:
    """How often the test is wrong, by simulation on the scores that were played.

    Attributes:
        false_alarms: share of tests of two equal models that end with `better`.
        misses: share of tests of a model that is better by `GAIN` that do not end with `better`.
    """

    false_alarms: float
    misses: float


def sequential_test(look_episodes: int, most_episodes: int, better_above: float, worse_below: float) -> Rule:
    """Return the rule that a comparison follows.

    Args:
        look_episodes: that both play between two looks at their scores.
        most_episodes: of each; then a test that has not decided is undecided.
        better_above: probability of a higher mean above which the new one is better.
        worse_below: probability below which it is not.
    """
    return Rule("confident", look_episodes, most_episodes, 0, better_above, worse_below)


def judge(new: Scores, old: Scores, test: Rule) -> Verdict | None:
    """Return the verdict after a look at both models' scores, None if more episodes are to be played."""
    decision = decide(new, old, test)
    if decision.verdict == "continue":
        return None
    assert decision.probability is not None, "the test compares two models by a probability"
    outcome: Outcome = (
        "better" if decision.verdict == "promote" else "undecided" if decision.undecided else "not better"
    )
    return Verdict(outcome, decision.probability, decision.episodes)


def error_rates(new: Scores, old: Scores, test: Rule, *, simulations: int = SIMULATIONS, seed: int = 0) -> ErrorRates:
    """Simulate tests of models whose scores vary as those that were played do.

    Episodes are drawn, with replacement, from both models' scores less their means: so both simulated models are equal,
    and one is made better by adding a constant.

    Args:
        new: scores of the new model by game, two or more.
        old: of the old one.
        test: from `sequential_test`.
        simulations: of each kind.
        seed: of the draws.
    """
    residuals = {game: np.concatenate([_centred(new[game]), _centred(old[game])]) for game in sorted(new)}
    generator = np.random.default_rng(seed)

    def share_better(gain: float) -> float:
        ends = [_simulated(residuals, test, gain, generator) for _ in range(simulations)]
        return sum(end.outcome == "better" for end in ends) / simulations

    return ErrorRates(share_better(0.0), 1.0 - share_better(GAIN))


def _simulated(residuals: Mapping[str, Floats], test: Rule, gain: float, generator: np.random.Generator) -> Verdict:
    """Return the verdict of one simulated test."""
    count = test.most_episodes
    old: dict[str, Floats] = {game: generator.choice(values, count) for game, values in residuals.items()}
    new: dict[str, Floats] = {game: generator.choice(v, count) + gain * float(v.std()) for game, v in residuals.items()}
    verdict: Verdict | None = None
    looks = 0
    while verdict is None:
        looks += 1
        played = min(looks * test.look_episodes, count)
        mine, others = ({game: values[:played].tolist() for game, values in of.items()} for of in (new, old))
        verdict = judge(mine, others, test)
    return verdict


def _centred(scores: Sequence[float]) -> Floats:
    values = np.asarray(scores, np.float64)
    return values - values.mean()
