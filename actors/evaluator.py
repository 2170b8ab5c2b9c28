"""Scores a policy by whole episodes: epsilon-greedy, fixed seeds, the same number from every lane.

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
from actors.kept_lanes import KeptLanes
from actors.lane import Lane
from actors.policy import Policy, epsilon_greedy
from distill.errors import RunError
from distill.evaluation_protocols import DISTILL, EvaluationProtocol
from distill.games import SeedStream, reset_seed

EPSILON = DISTILL.epsilon


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
        protocol: how episodes begin, go on and end; its epsilon is that of its authors, and not used here.
        kept: emulators of evaluations before, which must be over; all are made anew without.
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
        protocol: EvaluationProtocol = DISTILL,
        kept: KeptLanes | None = None,
    ) -> None:
        if min(episodes, lanes, threads) < 1:
            raise RunError(f"evaluation of {game}: expected 1 or more episodes, lanes and threads")
        lanes = min(lanes, episodes)
        self._game, self._policy, self._who, self._version = game, policy, who, version
        self._threads, self._epsilon, self._seed, self._protocol = threads, epsilon, seed, protocol
        self._episodes_per_lane = math.ceil(episodes / lanes)
        self._generator = np.random.default_rng([seed, 1])
        first = reset_seed(seed, SeedStream.EMULATORS)
        self._lanes = (kept or KeptLanes()).begun(game, protocol, range(first, first + lanes))
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

    def _step(self, lanes: list[Lane], actions: npt.NDArray[np.int64]) -> None:
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
            max_frames=self._protocol.max_frames,
            noop_max=self._protocol.noop_max,
            steps=sum(lengths),
            seconds=self._seconds,
        )
