"""The promotion rules in simulation and at their edges."""

import numpy as np
import pytest

from distill.promotion import Scores, decide
from distill.teach_config import PromotionConfig

SIMULATIONS = 300
LOOK, MOST = 8, 64


def share_promoted(rule: str, gain: float, draw: str) -> float:
    """Return how often a candidate is promoted whose mean is `gain` standard deviations above the best one's."""
    config = PromotionConfig(rule=rule, look_episodes=LOOK, most_episodes=MOST).as_rule
    generator = np.random.default_rng(0)
    sample = getattr(generator, draw)
    promoted = 0
    for _ in range(SIMULATIONS):
        best: Scores = {"pong": sample(size=MOST).tolist()}
        scores: list[float] = []
        verdict = "continue"
        while verdict == "continue":
            scores += (gain + sample(size=LOOK)).tolist()
            verdict = decide({"pong": scores}, best, config).verdict
        promoted += verdict == "promote"
    return promoted / SIMULATIONS


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential"])
@pytest.mark.parametrize(
    ("gain", "least", "most"),
    [(0.0, 0.0, 0.10), (-0.25, 0.0, 0.05), (0.5, 0.65, 1.0)],
    ids=["equal", "worse", "better"],
)
def test_luck_seldom_passes_the_confident_rule_and_progress_mostly_does(
    draw: str, gain: float, least: float, most: float
):
    assert least <= share_promoted("confident", gain, draw) <= most


def test_the_papers_rule_promotes_equal_candidates_about_half_of_the_time():
    assert 0.4 < share_promoted("new-high", 0.0, "standard_normal") < 0.6
    assert share_promoted("new-high", -0.25, "standard_normal") > 0.15, "the confident rule bears at most 0.05"


def test_the_first_candidate_is_promoted_after_one_look():
    config = PromotionConfig().as_rule
    early = decide({"pong": [1.0] * 7}, None, config)
    assert (early.verdict, early.episodes) == ("continue", 7)
    assert decide({"pong": [1.0] * 8}, None, config).verdict == "promote"


def test_an_undecided_candidate_is_rejected_at_the_cap_and_not_before():
    config = PromotionConfig(look_episodes=8, most_episodes=32).as_rule
    scores = [0.0, 1.0] * 8
    assert decide({"pong": scores}, {"pong": scores * 4}, config).verdict == "continue"
    decision = decide({"pong": scores * 2}, {"pong": scores * 4}, config)
    assert decision.verdict == "reject"
    assert "undecided" in decision.why
    # Both means are the same number with probability 0.057 (two binomials), and equal means are no gain.
    assert decision.probability == pytest.approx(0.471, abs=0.04)


def test_a_candidate_that_is_as_bad_as_can_be_is_rejected_at_the_first_look():
    lowest = {"pong": [-21.0] * 8}
    decision = decide(lowest, {"pong": [-21.0] * 64}, PromotionConfig().as_rule)
    assert (decision.verdict, decision.probability) == ("reject", 0.0)


def test_several_games_count_on_the_scale_of_human_less_random_play():
    # Breakout's scale is 28.8, Ms Pacman's 6,644.5: a gain of 20 outweighs a loss of 1,000.
    best = {"breakout": [10.0, 11.0] * 16, "ms_pacman": [2000.0, 2010.0] * 16}
    candidate = {"breakout": [30.0, 31.0] * 16, "ms_pacman": [1000.0, 1010.0] * 16}
    assert decide(candidate, best, PromotionConfig().as_rule).verdict == "promote"
    assert decide(best, candidate, PromotionConfig().as_rule).verdict == "reject"
    fewer = {"breakout": [30.0] * 16, "ms_pacman": [1000.0] * 7}
    undecided = decide(fewer, best, PromotionConfig().as_rule)
    assert undecided.verdict == "continue", "the game with the fewest episodes counts"
