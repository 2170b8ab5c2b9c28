"""An emulator that can be looked at: two in lockstep, a grey one for the policy and one in colour for people."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ale_py.vector_env import AtariVectorEnv

from distill.errors import RunError
from distill.games import FRAMES_PER_STEP, MAX_EPISODE_FRAMES, NOOP_MAX, load_rom, make_environment


@dataclass(frozen=True)
class Moment:
    """What is there to be seen after a reset or a step.

    Attributes:
        observation: [1, 4, 84, 84] uint8, what the policy sees.
        picture: [H, W, 3] uint8, the emulator's own screen.
        reward: raw reward of the step, 0 after a reset.
        ended: whether the episode ended with this step.
    """

    observation: npt.NDArray[np.uint8]
    picture: npt.NDArray[np.uint8]
    reward: float = 0.0
    ended: bool = False


class PicturedGame:
    """Plays one game on two emulators with the same seed and actions.

    Args:
        game: ROM name.
    """

    def __init__(self, game: str) -> None:
        self._game = game
        self._played, self._pictured = make_environment(game, 1), _picture_environment(game)

    def reset(self, seed: int) -> Moment:
        """Begin an episode."""
        observations, _ = self._played.reset(seed=seed)
        pictures, _ = self._pictured.reset(seed=seed)
        return Moment(observations, pictures[0, 0])

    def step(self, actions: npt.NDArray[np.int64]) -> Moment:
        """Take one control step; after the episode's end, reset first.

        Args:
            actions: [1] int64.

        Raises:
            RunError: if the two emulators no longer play the same.
        """
        observations, *played_on, _ = self._played.step(actions)
        pictures, *pictured_on, _ = self._pictured.step(actions)
        reward, terminated, truncated = (float(column[0]) for column in played_on)
        if [float(column[0]) for column in pictured_on] != [reward, terminated, truncated]:
            raise RunError(f"pictures of {self._game}: their emulator no longer plays as the policy's does")
        return Moment(observations, pictures[0, 0], reward, bool(terminated or truncated))

    def close(self) -> None:
        """End both emulators."""
        self._played.close()
        self._pictured.close()


def _picture_environment(game: str) -> AtariVectorEnv:
    """Make the emulator of `make_environment` in colour at its own size: observations [1, 1, H, W, 3] uint8."""
    height, width = load_rom(game).getScreenDims()
    return AtariVectorEnv(
        game,
        num_envs=1,
        num_threads=1,
        max_num_frames_per_episode=MAX_EPISODE_FRAMES,
        frameskip=FRAMES_PER_STEP,
        img_height=height,
        img_width=width,
        grayscale=False,
        stack_num=1,
        noop_max=NOOP_MAX,
        use_fire_reset=True,
        reward_clipping=False,
    )
