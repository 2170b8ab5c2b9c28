"""Scores a policy by whole episodes: epsilon-greedy, no-op starts, fixed seeds, the same number from every lane.

Counting the episodes that finish first would favour short ones, which in most games are the bad ones. So every lane
plays its share to the end. A lane that is done is neither stepped nor forwarded again: each lane is a vector
environment of one, which costs about 10 % per step over one of N. Stepping finished lanes along would add 25 % to 40 %
of emulator steps (Breakout, 16 lanes of 4 episodes each).
"""

import math
import time

import numpy as np
import numpy.typing as npt

from actors.evaluation import Evaluation
from actors.policy import Policy, epsilon_greedy
from distill.errors import RunError
from distill.games import MAX_EPISODE_FRAMES, NOOP_MAX, SeedStream, make_environment, reset_seed

EPSILON = 0.05


class _Lane:
    """One emulator and the episodes that it has played."""

    def __init__(self, game: str, seed: int, max_frames: int) -> None:
        self._environment = make_environment(game, 1, max_episode_frames=max_frames)
        self.observation: npt.NDArray[np.uint8] = self._environment.reset(seed=seed)[0]
        self.scores: list[float] = []
        self.lengths: list[int] = []
        self._score = 0.0
        self._length = 0
        self._resetting = False

    def send(self, action: npt.NDArray[np.int64]) -> None:
        """Begin a step on the emulator's own thread with [1] action."""
        self._environment.send(action)

    def receive(self) -> None:
        """Wait for the step that was begun and count it."""
        self.observation, rewards, terminated, truncated, _ = self._environment.recv()
        if self._resetting:  # the step after an end ignores its action and is no transition
            self._resetting = False
            return
        self._score += float(rewards[0])
        self._length += 1
        if terminated[0] or truncated[0]:
            self.scores.append(self._score)
            self.lengths.append(self._length)
            self._score, self._length, self._resetting = 0.0, 0, True


class Evaluator:
    """Plays `episodes` whole episodes of one game in slices of bounded time.

    The result depends on the settings and the policy, not on how the time was sliced nor on `threads`.

    Args:
        game: ROM name.
        policy: see `Policy`.
        who: name of the player, for the result.
        version: version of the player, for the result.
        episodes: wanted; rounded up to a multiple of the lanes, so that every lane plays the same number.
        lanes: emulators, at most one per episode.
        threads: emulators that step at the same time.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
        max_frames: emulator frames after which an episode is cut off.
    """

    def __init__(
        self,
        game: str,
        policy: Policy,
        *,
        who: str,
        version: int,
        episodes: int,
        lanes: int = 16,
        threads: int = 1,
        epsilon: float = EPSILON,
        seed: int = 0,
        max_frames: int = MAX_EPISODE_FRAMES,
    ) -> None:
        if min(episodes, lanes, threads) < 1:
            raise RunError(f"evaluation of {game}: expected 1 or more episodes, lanes and threads")
        lanes = min(lanes, episodes)
        self._game, self._policy, self._who, self._version = game, policy, who, version
        self._threads, self._epsilon, self._seed, self._max_frames = threads, epsilon, seed, max_frames
        self._episodes_per_lane = math.ceil(episodes / lanes)
        self._generator = np.random.default_rng([seed, 1])
        first = reset_seed(seed, SeedStream.EMULATORS)
        self._lanes = [_Lane(game, first + lane, max_frames) for lane in range(lanes)]
        self._seconds = 0.0

    @property
    def episodes(self) -> int:
        """Number of episodes to play."""
        return self._episodes_per_lane * len(self._lanes)

    @property
    def episodes_done(self) -> int:
        """Number of episodes played to their end."""
        return sum(len(lane.scores) for lane in self._lanes)

    def advance(self, seconds: float = math.inf) -> bool:
        """Play for about `seconds`, at least one step of every unfinished lane; return whether all episodes are done.

        Raises:
            RunError: if the policy returns a q-value that is not finite.
        """
        begin = time.perf_counter()
        while active := [lane for lane in self._lanes if len(lane.scores) < self._episodes_per_lane]:
            q_values = self._policy(np.concatenate([lane.observation for lane in active]))
            self._step(active, epsilon_greedy(q_values, self._epsilon, self._generator))
            if time.perf_counter() - begin >= seconds:
                break
        self._seconds += time.perf_counter() - begin
        return self.episodes_done == self.episodes

    def _step(self, lanes: list[_Lane], actions: npt.NDArray[np.int64]) -> None:
        """Step every lane once, at most `threads` of them at the same time."""
        for index, lane in enumerate(lanes):
            if index >= self._threads:
                lanes[index - self._threads].receive()
            lane.send(actions[index : index + 1])
        for lane in lanes[-self._threads :]:
            lane.receive()

    def result(self) -> Evaluation:
        """Return the evaluation.

        Raises:
            RunError: if episodes are not done yet.
        """
        if self.episodes_done < self.episodes:
            raise RunError(
                f"evaluation of {self._who} {self._version} at {self._game}: expected {self.episodes} episodes, found"
                f" {self.episodes_done} done; call advance until it returns True"
            )
        lengths = tuple(length for lane in self._lanes for length in lane.lengths)
        return Evaluation(
            game=self._game,
            who=self._who,
            version=self._version,
            scores=tuple(score for lane in self._lanes for score in lane.scores),
            lengths=lengths,
            lanes=len(self._lanes),
            epsilon=self._epsilon,
            seed=self._seed,
            max_frames=self._max_frames,
            noop_max=NOOP_MAX,
            steps=sum(lengths),
            seconds=self._seconds,
        )
