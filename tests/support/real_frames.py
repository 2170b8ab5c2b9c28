"""Observations of real play, for parity tests."""

import functools

import numpy as np
import numpy.typing as npt

from distill.games import action_count, make_environment, reset_seed

LANES, STEPS, EVERY = 4, 240, 16


@functools.cache
def real_frames(game: str) -> npt.NDArray[np.uint8]:
    """Return [60, 4, 84, 84] uint8 of random play, the zero-filled first observations among them."""
    environment = make_environment(game, LANES)
    random = np.random.default_rng(7)
    observations, _ = environment.reset(seed=reset_seed(7))
    kept = [observations]
    for step in range(1, STEPS):
        observations = environment.step(random.integers(action_count(game), size=LANES))[0]
        if step % EVERY == 0:
            kept.append(observations)
    environment.close()
    return np.concatenate(kept)
