"""Valid chunks for tests."""

import numpy as np

from distill.chunks import Chunk, ChunkHeader, column_shapes


def example_chunk(
    steps: int = 16, actions: int = 6, seed: int = 0, *, first_age: int = 3, ends: float = 0.1, noise: bool = False
) -> Chunk:
    """Return a chunk of T = `steps` and A = `actions` in which every step ends an episode with probability `ends`."""
    random = np.random.default_rng(seed)
    shapes = column_shapes(steps, actions)
    # A few noisy pixels on a plain frame compress as real frames do.
    frames = np.full(shapes["frames"], 50, np.uint8)
    part = frames if noise else frames[:, 20:24, 20:40]
    part[...] = random.integers(1, 256, part.shape, dtype=np.uint8)
    ended = random.random(steps) < ends
    truncated = ended & (random.random(steps) < 0.5)
    return Chunk(
        ChunkHeader(
            run_id="f0" * 8,
            game="pong",
            producer="teacher-0",
            producer_id="0f" * 8,
            sequence=seed,
            teacher_version=0,
            driver_version=2,
            steps=steps,
            actions=actions,
            first_age=first_age,
        ),
        frames=frames,
        q_values=random.normal(size=shapes["q_values"]).astype(np.float32),
        taken=random.integers(actions, size=steps).astype(np.uint8),
        rewards=random.integers(-1, 2, steps).astype(np.float32),
        terminated=ended & ~truncated,
        truncated=truncated,
        life_lost=random.random(steps) < 0.1,
    )
