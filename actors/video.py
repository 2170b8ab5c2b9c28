"""Films a policy: one episode in colour at the emulator's own size, as MP4."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt

from actors.evaluator import EPSILON
from actors.pictured import Moment, PicturedGame
from actors.policy import Policy, epsilon_greedy
from distill.errors import RunError
from distill.games import FRAMES_PER_STEP, SeedStream, reset_seed

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
    score, steps, finished = 0.0, -1, False  # the first picture is the reset's, before any step
    with film(path) as add:
        for moment in islice(_play(game, policy, epsilon, seed), max_steps + 1):
            add(moment.picture)
            score, steps, finished = score + moment.reward, steps + 1, moment.ended
    return Recording(path, game, score, steps, finished)


@contextlib.contextmanager
def film(path: Path, scale: int = SCALE) -> Generator[Callable[[npt.NDArray[np.uint8]], None]]:
    """Yield what adds a picture [H, W, 3] to a film in H.264, 15 a second; `path` appears whole or not at all.

    Args:
        path: file to write, `*.mp4`; its folder must exist.
        scale: pixels of the film on a side of each of a picture's.

    Raises:
        RunError: if the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.partial.mp4")
    try:
        with contextlib.closing(_writer(partial, scale)) as writer:
            yield writer.append_data
        partial.replace(path)
    except OSError as error:
        raise RunError(f"video {path}: ffmpeg could not write it ({error}); check the folder and its space") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _writer(path: Path, scale: int) -> Any:
    return imageio.get_writer(  # pyright: ignore[reportUnknownMemberType] - a format's settings have no types
        path,
        format="FFMPEG",  # pyright: ignore[reportArgumentType] - a format's name is documented to work
        mode="I",
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        pixelformat="yuv420p",
        macro_block_size=2,
        output_params=["-vf", f"scale=iw*{scale}:ih*{scale}:flags=neighbor", "-movflags", "+faststart"],
    )


def _play(game: str, policy: Policy, epsilon: float, seed: int) -> Iterator[Moment]:
    """Yield what is to be seen at the reset and after every step."""
    pictured, generator = PicturedGame(game), np.random.default_rng([seed, 1])
    moment = pictured.reset(reset_seed(seed, SeedStream.EMULATORS))
    yield moment
    while not moment.ended:
        moment = pictured.step(epsilon_greedy(policy(moment.observation), epsilon, generator))
        yield moment
