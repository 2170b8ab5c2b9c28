"""The replay against a slow, obvious list of observations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import Chunk, ChunkHeader, column_shapes, rebuild_observations
from learner.label_replay import LabelReplay

ACTIONS = 4


def chunk_of(steps: int, first_age: int, seed: int) -> Chunk:
    random = np.random.default_rng(seed)
    shapes = column_shapes(steps, ACTIONS)
    ended = random.random(steps) < 0.2
    return Chunk(
        ChunkHeader("run", "breakout", "p", f"p{seed}", seed, 0, 0, steps, ACTIONS, first_age),
        frames=random.integers(1, 256, shapes["frames"], dtype=np.uint8),
        q_values=random.normal(size=shapes["q_values"]).astype(np.float32),
        taken=random.integers(ACTIONS, size=steps).astype(np.uint8),
        rewards=np.zeros(steps, np.float32),
        terminated=ended,
        truncated=np.zeros(steps, bool),
        life_lost=ended,
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 24), st.integers(0, 3)), min_size=1, max_size=14),
    capacity=st.integers(24, 90),
)
def test_samples_are_the_newest_transitions_bit_for_bit(sizes: list[tuple[int, int]], capacity: int) -> None:
    replay = LabelReplay(ACTIONS, capacity, 24, torch.device("cpu"))
    kept: list[tuple[Chunk, np.ndarray]] = []
    for seed, (steps, first_age) in enumerate(sizes):
        chunk = chunk_of(steps, first_age, seed)
        replay.append(chunk)
        kept.append((chunk, rebuild_observations(chunk)))
    # What is held is a suffix of what came, whole chunks, never more than the capacity, and all of it if it fits.
    held = len(replay)
    suffix = np.cumsum([chunk.header.steps for chunk, _ in reversed(kept)])
    assert held in suffix
    assert held <= capacity
    if len(kept) == 1:
        assert held == kept[0][0].header.steps
    observations = np.concatenate([rows for _, rows in kept])[-held:]
    labels = np.concatenate([chunk.q_values for chunk, _ in kept])[-held:]
    first = sum(chunk.header.steps for chunk, _ in kept) - held
    batch = replay.sample(64, torch.Generator().manual_seed(1))
    rows = batch.numbers.numpy() - first
    assert ((rows >= 0) & (rows < held)).all()
    assert np.array_equal(batch.observations.numpy(), observations[rows])
    assert np.array_equal(batch.q_values.numpy(), labels[rows])
    owner = np.repeat(np.arange(len(kept)), [chunk.header.steps for chunk, _ in kept])
    for number in batch.numbers[:5].tolist():
        assert replay.chunk_of(number) == f"p{owner[number]}/{owner[number]}"
    if first:
        assert replay.chunk_of(first - 1) == "gone"


def test_full_chunks_fill_the_capacity() -> None:
    replay = LabelReplay(ACTIONS, 1024, 128, torch.device("cpu"))
    for seed in range(20):
        replay.append(chunk_of(128, 3, seed))
        assert len(replay) == min(1024, 128 * (seed + 1))


def test_sampling_is_uniform() -> None:
    replay = LabelReplay(ACTIONS, 64, 16, torch.device("cpu"))
    for seed in range(7):
        replay.append(chunk_of(16, 3, seed))
    numbers = replay.sample(64_000, torch.Generator().manual_seed(0)).numbers.numpy()
    counts = np.bincount(numbers - numbers.min(), minlength=64)
    assert len(counts) == 64
    # Chi-squared with 63 degrees of freedom: 120 is passed by chance once in 20,000 runs, and the seed is fixed.
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 120


def test_an_empty_replay_and_an_outsized_chunk_are_refused() -> None:
    replay = LabelReplay(ACTIONS, 32, 16, torch.device("cpu"))
    with pytest.raises(ValueError, match="empty"):
        replay.sample(1, torch.Generator())
    with pytest.raises(ValueError, match="holds 32"):
        replay.append(chunk_of(40, 3, 0))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="without a CUDA device")
def test_the_same_on_cuda() -> None:
    device = torch.device("cuda")
    replay = LabelReplay(ACTIONS, 64, 16, device)
    rows = []
    for seed in range(6):
        chunk = chunk_of(16, 0, seed)
        replay.append(chunk)
        rows.append(rebuild_observations(chunk))
    batch = replay.sample(32, torch.Generator(device).manual_seed(0))
    assert batch.observations.device.type == "cuda"
    assert np.array_equal(batch.observations.cpu().numpy(), np.concatenate(rows)[batch.numbers.cpu().numpy()])
