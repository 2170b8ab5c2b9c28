"""A lane plays as the wrappers do whose scores it is to reproduce: those of Stable-Baselines3, step by step."""

from collections import deque

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv, FireResetEnv, MaxAndSkipEnv

from actors.lane import Lane
from distill.evaluation_protocols import DISTILL, PROTOCOLS, EvaluationProtocol
from distill.games import STACK, action_count, action_meanings

TOLERANCE = 1
"""OpenCV and the sums here round in their own ways."""


def areas(size: int, screen: int) -> np.ndarray:
    """Return [size, screen]: which share of each of a small picture's rows lies on which rows of the screen."""
    ratio = screen / size
    edges = np.arange(size)[:, None] * ratio
    rows = np.arange(screen)[None, :]
    return np.clip(np.minimum(edges + ratio, rows + 1) - np.maximum(edges, rows), 0.0, None) / ratio


ROWS, COLUMNS = areas(84, 210), areas(84, 160)


class Reference:
    """The wrappers in the order of `AtariWrapper`, with a stack of frames over them."""

    def __init__(self, game: str, protocol: EvaluationProtocol) -> None:
        title = game.title().replace("_", "")
        env = gymnasium.make(f"{title}NoFrameskip-v4", obs_type="grayscale").unwrapped
        env = MaxAndSkipEnv(env, skip=4)
        env = EpisodicLifeEnv(env)
        self.env = FireResetEnv(env) if "FIRE" in action_meanings(game) else env
        self.pads_first = protocol.padding == "first-frame"
        self.begin()

    def begin(self) -> None:
        screen = self.env.reset()[0]
        blank = screen if self.pads_first else np.zeros_like(screen)
        self.screens = deque([blank] * (STACK - 1) + [screen], STACK)

    def observation(self) -> np.ndarray:
        return np.array([ROWS @ screen @ COLUMNS.T for screen in self.screens])

    def step(self, action: int) -> bool:
        screen, _, terminated, truncated, _ = self.env.step(action)
        self.screens.append(screen)
        return terminated or truncated


def lane_of(game: str, seed: int, protocol: EvaluationProtocol) -> Lane:
    lane = Lane(game, protocol)
    lane.begin(seed)
    return lane


@pytest.mark.parametrize("name", ["sb3", "cleanrl"])
@pytest.mark.parametrize("game", ["breakout", "ms_pacman", "pong"])
def test_a_lane_shows_what_the_wrappers_show(game: str, name: str) -> None:
    protocol = PROTOCOLS[name].changed({"noop_max": 0})
    lane, reference = lane_of(game, 3, protocol), Reference(game, protocol)
    generator, begun, checked, since = np.random.default_rng(5), 0, 0, -1
    for step in range(500):
        while lane.own_steps:
            lane.send(np.array([0]))
            lane.receive()
        if lane.scores:
            break
        since += 1
        if step % 25 == 0 or since < STACK:
            checked += 1
            assert np.abs(lane.observation[0] - reference.observation()).max() <= TOLERANCE
        action = int(generator.integers(0, action_count(game)))
        lane.send(np.array([action]))
        lane.receive()
        if reference.step(action):
            begun, since = begun + 1, -1
            reference.begin()
    assert checked >= 20 and begun >= (0 if game == "pong" else 2)


def play(lane: Lane, steps: int, seed: int = 0) -> list[np.ndarray]:
    generator, seen = np.random.default_rng(seed), [lane.observation.copy()]
    for _ in range(steps):
        lane.send(generator.integers(0, 4, 1))
        lane.receive()
        seen.append(lane.observation.copy())
    return seen


def test_sticky_actions_make_one_sequence_of_actions_many_games() -> None:
    ends = {play(lane_of("breakout", seed, PROTOCOLS["machado"]), 60)[-1].tobytes() for seed in range(4)}
    still = {play(lane_of("breakout", seed, DISTILL.changed({"noop_max": 0})), 60)[-1].tobytes() for seed in range(4)}
    assert (len(ends), len(still)) == (4, 1)


def test_an_episode_is_cut_off_at_the_frame_limit() -> None:
    lane = lane_of("breakout", 0, PROTOCOLS["nature"])
    while not lane.lengths:
        lane.send(np.array([0]))
        lane.receive()
    assert lane.lengths == [18_000 // 4], "without FIRE a game of Breakout has no end of its own"


def test_fire_is_pressed_where_the_protocol_says_so() -> None:
    # Without FIRE the ball of Breakout never comes: nothing moves while the paddle rests.
    def moves(fire: str) -> bool:
        lane = lane_of("breakout", 0, DISTILL.changed({"fire": fire, "noop_max": 0}))
        seen = []
        for _ in range(30):
            lane.send(np.array([0]))
            lane.receive()
            seen.append(lane.observation[0, -1].copy())
        return len({frame[20:].tobytes() for frame in seen[10:]}) > 1

    assert [moves(fire) for fire in ("never", "frame", "steps")] == [False, True, True]
