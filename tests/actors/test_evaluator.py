import json
from collections import Counter

import numpy as np
import pytest

from actors.evaluation import Evaluation
from actors.evaluator import Evaluator
from actors.policy import epsilon_greedy
from distill.errors import RunError
from distill.evaluation_protocols import DISTILL
from distill.games import action_count, make_environment, reset_seed


class RandomWeights:
    """A policy of observations alone, in whole numbers, so that it is exact in batches of any size.

    The remainder makes it jump between actions when a pixel changes; a plain projection would repeat one for ever.
    """

    def __init__(self, game: str, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.weights = generator.integers(-1000, 1000, (84 * 84, action_count(game)))
        self.batches: list[int] = []

    def __call__(self, observations):
        self.batches.append(len(observations))
        sums = observations[:, -1].reshape(len(observations), -1).astype(np.int64) @ self.weights
        return (sums % 97).astype(np.float32)


def evaluator(game="breakout", policy=None, **settings) -> Evaluator:
    settings = {"who": "student", "version": 7, "episodes": 4, "lanes": 2, "max_frames": 1200} | settings
    protocol = DISTILL.changed({"max_frames": settings.pop("max_frames")})
    return Evaluator(game, policy or RandomWeights(game), protocol=protocol, **settings)


def play(**settings) -> Evaluation:
    player = evaluator(**settings)
    assert player.advance()
    return player.result()


def outcome(evaluation: Evaluation) -> tuple[tuple[float, ...], tuple[int, ...]]:
    return evaluation.scores, evaluation.lengths


def test_epsilon_greedy_mixes_the_best_and_uniform_actions():
    q_values = np.tile(np.array([0.0, 3.0, 1.0, 2.0], np.float32), (100_000, 1))
    counts = Counter(epsilon_greedy(q_values, 0.2, np.random.default_rng(0)).tolist())
    assert counts[1] / 100_000 == pytest.approx(0.85, abs=0.01)
    assert [counts[a] / 100_000 for a in (0, 2, 3)] == pytest.approx([0.05] * 3, abs=0.005)
    assert (epsilon_greedy(q_values, 0.0, np.random.default_rng(0)) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_policy_that_is_not_finite_is_refused(bad):
    with pytest.raises(RunError, match="expected finite q-values"):
        evaluator(policy=lambda observations: np.full((len(observations), 4), bad, np.float32)).advance()


def slow_scores(game: str, policy, *, lane_seed: int, episodes: int, max_frames: int) -> list[tuple[float, int]]:
    """Play one lane greedily, by explicit resets instead of the automatic ones."""
    environment = make_environment(game, 1, max_episode_frames=max_frames)
    observation, _ = environment.reset(seed=lane_seed)
    results: list[tuple[float, int]] = []
    for _ in range(episodes):
        total, length, done = 0.0, 0, False
        while not done:
            action = policy(observation).argmax(axis=1)
            observation, reward, terminated, truncated, _ = environment.step(action)
            total, length = total + float(reward[0]), length + 1
            done = bool(terminated[0] or truncated[0])
        results.append((total, length))
        observation, _ = environment.reset()
    return results


def test_scores_and_lengths_agree_with_a_slow_version_lane_by_lane():
    evaluation = play(epsilon=0.0, episodes=4, lanes=2, seed=11, max_frames=8000)
    expected = [
        pair
        for lane in range(2)
        for pair in slow_scores(
            "breakout",
            RandomWeights("breakout"),
            lane_seed=reset_seed(11, 0) + lane,
            episodes=2,
            max_frames=8000,
        )
    ]
    assert list(zip(evaluation.scores, evaluation.lengths, strict=True)) == expected
    assert set(expected[:2]) != set(expected[2:]), "lanes that play alike would prove nothing"
    assert evaluation.steps == sum(evaluation.lengths)


@pytest.mark.parametrize("game", ["breakout", "pong"])
def test_the_same_seed_gives_the_same_scores_however_the_time_is_sliced(game):
    whole = play(game=game, epsilon=0.3, seed=5, max_frames=800)
    sliced = evaluator(game=game, epsilon=0.3, seed=5, max_frames=800)
    slices = 1
    while not sliced.advance(0.0):
        slices += 1
    assert slices > 50
    assert outcome(sliced.result()) == outcome(whole)
    threaded = play(game=game, epsilon=0.3, seed=5, max_frames=800, threads=2)
    assert outcome(threaded) == outcome(whole)


def test_another_seed_gives_other_episodes():
    assert outcome(play(epsilon=0.5, seed=1)) != outcome(play(epsilon=0.5, seed=2))


def test_lanes_differ_from_each_other():
    evaluation = play(epsilon=0.5, episodes=4, lanes=4, seed=1)
    assert len(set(zip(evaluation.scores, evaluation.lengths, strict=True))) > 1


@pytest.mark.parametrize(("episodes", "lanes", "played", "used"), [(5, 2, 6, 2), (2, 8, 2, 2), (3, 1, 3, 1)])
def test_every_lane_plays_the_same_number_of_whole_episodes(episodes, lanes, played, used):
    evaluation = play(episodes=episodes, lanes=lanes, max_frames=200)
    assert len(evaluation.scores) == len(evaluation.lengths) == played
    assert evaluation.lanes == used
    assert max(evaluation.lengths) == 50  # 200 frames are 50 control steps


def test_a_lane_that_is_done_is_not_forwarded_again():
    policy = RandomWeights("breakout")
    evaluation = play(policy=policy, episodes=3, lanes=3, epsilon=0.5, max_frames=8000)
    assert len(set(evaluation.lengths)) > 1
    assert sum(policy.batches) == evaluation.steps
    assert policy.batches == sorted(policy.batches, reverse=True)


def test_an_episode_ends_at_the_last_life_not_at_a_lost_one():
    evaluation = play(episodes=1, lanes=1, epsilon=1.0, max_frames=108_000)
    # A random player needs more than 100 control steps for its five lives, and less than 30 for one.
    assert evaluation.lengths[0] > 100
    assert 0 <= evaluation.scores[0] < 12


def test_progress_is_told_and_an_unfinished_result_refused():
    player = evaluator(episodes=4, lanes=2)
    assert player.episodes == 4
    assert not player.advance(0.0)
    assert player.episodes_done == 0
    with pytest.raises(RunError, match=r"student 7 at breakout: expected 4 episodes, found 0"):
        player.result()
    assert player.advance()
    assert player.episodes_done == 4
    assert player.advance(), "advancing a finished evaluation is harmless"


@pytest.mark.parametrize("setting", ["episodes", "lanes", "threads"])
def test_nothing_to_play_is_refused(setting):
    with pytest.raises(RunError, match="1 or more"):
        evaluator(**{setting: 0})


def test_a_result_names_who_played_and_survives_json():
    evaluation = play(max_frames=200, seed=3, epsilon=0.25)
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert (evaluation.game, evaluation.who, evaluation.version) == ("breakout", "student", 7)
    assert (evaluation.seed, evaluation.epsilon, evaluation.max_frames, evaluation.noop_max) == (3, 0.25, 200, 30)
    assert evaluation.seconds > 0.0
    score = evaluation.score()
    assert (score.version, score.scores) == (7, evaluation.scores)
    with pytest.raises(RunError, match="expected the fields"):
        Evaluation.from_json({"game": "pong"})
