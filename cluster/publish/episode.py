"""One episode as a page can play it again: what was on the screen, what the network saw and said, what was done."""

import base64
import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.pictured import PicturedGame
from actors.policy import Policy, epsilon_greedy
from distill.games import FRAMES_PER_STEP, SeedStream, action_meanings, load_rom, reset_seed

STEPS_PER_SECOND = 60 // FRAMES_PER_STEP
MOST_STEPS = 60 * STEPS_PER_SECOND
"""A minute: a browser holds all its pictures, 34 kB each."""


_CHANNELS = np.array([1 << 16, 1 << 8, 1], np.uint32)


@dataclass(frozen=True)
class Step:
    """One control step.

    Attributes:
        picture: [H, W, 3] uint8, the screen before it.
        observation: [4, 84, 84] uint8, what the network saw of it.
        q_values: [A] float32, what the network said.
        action: what was done.
        reward: what came of it.
    """

    picture: npt.NDArray[np.uint8]
    observation: npt.NDArray[np.uint8]
    q_values: npt.NDArray[np.float32]
    action: int
    reward: float


def play(game: str, policy: Policy, epsilon: float, seed: int) -> Iterator[Step]:
    """Yield the steps of one episode.

    Args:
        game: ROM name.
        policy: of the network.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions; the same gives the episode of `actors.video.record_episode`.

    Raises:
        RunError: if a q-value is not finite.
    """
    generator = np.random.default_rng([seed, 1])
    with contextlib.closing(PicturedGame(game)) as pictured:
        moment = pictured.reset(reset_seed(seed, SeedStream.EMULATORS))
        while not moment.ended:
            q_values = policy(moment.observation)
            actions = epsilon_greedy(q_values, epsilon, generator)
            # The emulators may write the next ones into the same arrays.
            picture, observation = moment.picture.copy(), moment.observation[0].copy()
            moment = pictured.step(actions)
            yield Step(picture, observation, q_values[0], int(actions[0]), moment.reward)


def as_document(game: str, policy: Policy, epsilon: float, seed: int) -> dict[str, Any]:
    """Return the first minute of an episode as JSON values: texts are base64, of pictures and frames deflated.

    The observation of step t is made of frames t - 3 to t, black before the first one.
    """
    palette: dict[int, int] = {}
    frames: list[npt.NDArray[np.uint8]] = []
    said: list[npt.NDArray[np.float32]] = []
    taken: list[int] = []
    rewards: list[float] = []
    pictures: list[npt.NDArray[np.uint8]] = []
    for step in islice(play(game, policy, epsilon, seed), MOST_STEPS):
        pictures.append(_indexed(step.picture, palette))
        frames.append(step.observation[-1].ravel())
        said.append(step.q_values)
        taken.append(step.action)
        rewards.append(step.reward)
    height, width = load_rom(game).getScreenDims()
    return {
        "game": game,
        "actions": list(action_meanings(game)),
        "steps": len(taken),
        "steps_per_second": STEPS_PER_SECOND,
        "epsilon": epsilon,
        "width": width,
        "height": height,
        "palette": [f"#{colour:06x}" for colour in palette],
        "pictures": _packed(np.stack(pictures)),
        "frames": _packed(np.stack(frames)),
        "q_values": base64.b64encode(np.stack(said).astype("<f4").tobytes()).decode(),
        "taken": taken,
        "rewards": rewards,
    }


def _indexed(picture: npt.NDArray[np.uint8], palette: dict[int, int]) -> npt.NDArray[np.uint8]:
    """Return the number in the palette of every pixel of [H, W, 3] as [H x W]; new colours are added to it."""
    colours, places = np.unique(picture.reshape(-1, 3).astype(np.uint32) @ _CHANNELS, return_inverse=True)
    numbers = [palette.setdefault(colour, len(palette)) for colour in colours.tolist()]
    # An Atari 2600 has 128 colours.
    return np.array(numbers, np.uint8)[places]


def _packed(rows: npt.NDArray[np.uint8]) -> str:
    """Return [T, N] rows as what differs from the row before: hardly anything changes from one picture to the next."""
    changes = rows.copy()
    changes[1:] ^= rows[:-1]
    return base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode()
