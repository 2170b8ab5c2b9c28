"""Observations of real play, for parity tests."""

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.games import action_count, make_environment, reset_seed
from distill.networks import QNetwork

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


def assert_same(network: QNetwork, game: str, expected: Tensor) -> None:
    """Compare a network's q-values of `real_frames` with those of the network that it was made from, [60, A]."""
    with torch.inference_mode():
        found = network(torch.from_numpy(real_frames(game)), game)
    assert float(expected.abs().max()) > 1e-2, "a comparison of zeros would prove nothing"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
