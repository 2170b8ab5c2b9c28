"""Films a policy: one episode in colour at the emulator's own size, as MP4.

Two emulators run in lockstep with the same seed and actions. The policy sees the grey 84x84 one; the other is the
picture.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import ale_py
import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv

from actors.evaluator import EPSILON
from actors.policy import Policy, epsilon_greedy
from distill.errors import RunError
from distill.games import FRAMES_PER_STEP, MAX_EPISODE_FRAMES, NOOP_MAX, make_environment, reset_seed

FRAMES_PER_SECOND = 60 // FRAMES_PER_STEP
"""One picture per control step shows the game at its own speed."""
SCALE = 2
MAX_STEPS = 120 * FRAMES_PER_SECOND


@dataclass(frozen=True)
class Recording:
    """A finished video.

    Attributes:
        path: the MP4 file.
        game: ROM name.
        score: raw score at the video's end.
        steps: control steps that were played.
        finished: whether the episode ended within the video.
    """

    path: Path
    game: str
    score: float
    steps: int
    finished: bool


def record_episode(
    path: Path, game: str, policy: Policy, *, epsilon: float = EPSILON, seed: int = 0, max_steps: int = MAX_STEPS
) -> Recording:
    """Play one episode and write it as H.264 at twice the emulator's size; `path` appears whole or not at all.

    Args:
        path: file to write, `*.mp4`; its folder must exist.
        game: ROM name.
        policy: see `actors.policy.Policy`.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
        max_steps: control steps, 15 a second, after which the video ends even if the episode has not.

    Raises:
        RunError: if the file cannot be written, or a q-value is not finite.
    """
    partial = path.with_name(f".{path.stem}.partial.mp4")
    score, steps, finished = 0.0, -1, False  # the first picture is the reset's, before any step
    try:
        with contextlib.closing(_writer(partial)) as writer:
            for picture, reward, ended in islice(_play(game, policy, epsilon, seed), max_steps + 1):
                writer.append_data(picture)
                score, steps, finished = score + reward, steps + 1, ended
        partial.replace(path)
    except OSError as error:
        raise RunError(f"video {path}: ffmpeg could not write it ({error}); check the folder and its space") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Recording(path, game, score, steps, finished)


def _writer(path: Path) -> Any:
    return imageio.get_writer(
        path,
        format="FFMPEG",  # pyright: ignore[reportArgumentType] - a format's name is documented to work
        mode="I",
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        pixelformat="yuv420p",
        macro_block_size=2,
        output_params=["-vf", f"scale=iw*{SCALE}:ih*{SCALE}:flags=neighbor", "-movflags", "+faststart"],
    )


def _play(game: str, policy: Policy, epsilon: float, seed: int) -> Iterator[tuple[npt.NDArray[np.uint8], float, bool]]:
    """Yield picture [H, W, 3] uint8, raw reward and whether the episode ended, at the reset and after every step."""
    played, pictured = make_environment(game, 1), _picture_environment(game)
    generator = np.random.default_rng([seed, 1])
    observations, _ = played.reset(seed=reset_seed(seed, 0))
    pictures, _ = pictured.reset(seed=reset_seed(seed, 0))
    yield pictures[0, 0], 0.0, False
    ended = False
    while not ended:
        actions = epsilon_greedy(policy(observations), epsilon, generator)
        observations, *played_on, _ = played.step(actions)
        pictures, *pictured_on, _ = pictured.step(actions)
        reward, terminated, truncated = (float(column[0]) for column in played_on)
        if [float(column[0]) for column in pictured_on] != [reward, terminated, truncated]:
            raise RunError(f"video of {game}: the emulator of the pictures no longer plays as the policy's does")
        ended = bool(terminated or truncated)
        yield pictures[0, 0], reward, ended


def _picture_environment(game: str) -> AtariVectorEnv:
    """Make the emulator of `make_environment` in colour at its own size: observations [1, 1, H, W, 3] uint8."""
    ale = ale_py.ALEInterface()
    ale.loadROM(str(roms.get_rom_path(game)))
    height, width = ale.getScreenDims()
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
