"""One emulator and the whole episodes that a policy plays on it, by a protocol."""

from collections import deque

import numpy as np
import numpy.typing as npt

from distill.evaluation_protocols import EvaluationProtocol
from distill.games import STACK, action_meanings, make_environment

_NOOP, _FIRE, _BEHIND_FIRE = 0, 1, 2
"""Actions of a minimal set that has FIRE, in ALE's order."""


class Lane:
    """One emulator and the episodes that it has played since `begin`, which comes first.

    A protocol may have steps of its own: after a reset, and after a lost life. They are taken instead of the policy's,
    and the policy sees nothing of what was before their last one.

    Args:
        game: ROM name.
        protocol: how episodes begin, go on and end.

    Attributes:
        observation: [1, 4, 84, 84] uint8, what the policy sees now.
        scores: of the episodes that were played to their end.
        lengths: control steps of these, a protocol's own ones too.
        own_steps: actions of the protocol's that are still to be taken.
    """

    def __init__(self, game: str, protocol: EvaluationProtocol) -> None:
        self._environment = make_environment(
            game,
            1,
            max_episode_frames=protocol.max_frames,
            sticky_actions=protocol.sticky_actions,
            noop_max=protocol.noop_max,
            fire_reset=protocol.fire == "frame",
        )
        self._restarts, self._pads_first = protocol.life_loss == "restarts", protocol.padding == "first-frame"
        fires = protocol.fire == "steps" and "FIRE" in action_meanings(game)
        self._first_steps = (_FIRE, _BEHIND_FIRE) if fires else ()

    def begin(self, seed: int) -> None:
        """Reset the emulator and begin the first episode of a seed; what was played before is forgotten."""
        self.scores: list[float] = []
        self.lengths: list[int] = []
        self._score = 0.0
        self._length = 0
        self._resetting = False
        observation, info = self._environment.reset(seed=seed)
        self._begin_episode(observation, int(info["lives"][0]))

    def send(self, action: npt.NDArray[np.int64]) -> None:
        """Begin a step on the emulator's own thread with [1] action, or the protocol's in its stead."""
        self._environment.send(np.array([self.own_steps[0]], np.int64) if self.own_steps else action)

    def receive(self) -> None:
        """Wait for the step that was begun and count it."""
        observation, rewards, terminated, truncated, info = self._environment.recv()
        lives, lost = int(info["lives"][0]), self._lives
        if self._resetting:  # the step after an end ignores its action and is no transition
            self._resetting = False
            self._begin_episode(observation, lives)
            return
        self._score += float(rewards[0])
        self._length += 1
        self._lives = lives
        if self.own_steps:
            self.own_steps.popleft()
            self._frames = 1
        else:
            self._frames = min(STACK, self._frames + 1)
        if terminated[0] or truncated[0]:
            self.scores.append(self._score)
            self.lengths.append(self._length)
            self._score, self._length, self._resetting = 0.0, 0, True
            self.own_steps.clear()
        elif self._restarts and 0 < lives < lost:
            self.own_steps = deque((_NOOP, *self._first_steps))
        self.observation = self._seen(observation)

    def _begin_episode(self, observation: npt.NDArray[np.uint8], lives: int) -> None:
        """Begin an episode after a reset."""
        self._lives, self._frames = lives, 1
        self.own_steps = deque[int](self._first_steps)
        self.observation = self._seen(observation)

    def _seen(self, observation: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return an observation whose frames from before the beginning are padding."""
        before = STACK - self._frames
        if not before:
            return observation
        seen = observation.copy()
        seen[:, :before] = seen[:, before : before + 1] if self._pads_first else 0
        return seen
