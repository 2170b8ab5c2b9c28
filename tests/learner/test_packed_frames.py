"""The compressed replay against the plain one: the same samples, whatever comes and goes in between."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import Chunk, rebuild_observations
from learner.label_replay import LabelReplay
from learner.n_step_replay import NStepReplay, NStepRule
from learner.packed_frames import BLOCK_STEPS, PackedFrames
from learner.replay import GameReplay
from tests.support.chunk_examples import example_chunk

CPU = torch.device("cpu")
ACTIONS = 6

MakeReplay = Callable[[int, bool], GameReplay[Any]]
"""Takes capacity, and whether frames are compressed."""


def label_replay(capacity: int, compressed: bool) -> GameReplay[Any]:
    return LabelReplay(ACTIONS, capacity, 2 * BLOCK_STEPS, CPU, compressed=compressed)


def n_step_replay(capacity: int, compressed: bool) -> GameReplay[Any]:
    rule = NStepRule(3, 0.99, clip_rewards=True, life_loss_ends=False)
    return NStepReplay(rule, capacity, 2 * BLOCK_STEPS, CPU, compressed=compressed)


def versioned(steps: int, seed: int, version: int) -> Chunk:
    chunk = example_chunk(steps, ACTIONS, seed, first_age=seed % 4, noise=seed % 5 == 0)
    return replace(chunk, header=replace(chunk.header, teacher_version=version))


appends = st.tuples(st.just("append"), st.integers(1, 3 * BLOCK_STEPS), st.integers(0, 4))
samples = st.tuples(st.just("sample"), st.integers(1, 40), st.just(0))
drops = st.tuples(st.just("drop_before"), st.just(0), st.integers(0, 4))


@pytest.mark.parametrize("make", [label_replay, n_step_replay])
@settings(max_examples=40, deadline=None)
@given(
    capacity=st.integers(3 * BLOCK_STEPS, 8 * BLOCK_STEPS),
    todo=st.lists(st.one_of(appends, appends, samples, drops), min_size=4, max_size=24),
    seed=st.integers(0, 2**31),
)
def test_the_same_seed_samples_the_same_as_from_plain_frames(
    make: MakeReplay, capacity: int, todo: list[tuple[str, int, int]], seed: int
) -> None:
    plain, compressed = make(capacity, False), make(capacity, True)
    generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
    for number, (what, count, version) in enumerate((*todo, ("sample", 16, 0))):
        if what == "append":
            for replay in (plain, compressed):
                replay.append(versioned(count, number, version))
        elif what == "drop_before":
            assert plain.drop_before(version) == compressed.drop_before(version)
        elif len(plain):
            expected, found = (
                replay.sample(count, generator)
                for replay, generator in zip((plain, compressed), generators, strict=True)
            )
            for field in fields(expected):
                assert torch.equal(getattr(expected, field.name), getattr(found, field.name)), field.name
        assert len(plain) == len(compressed)
    # What a checkpoint keeps of the sampling.
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


@pytest.mark.parametrize("steps", [1, BLOCK_STEPS - 1, BLOCK_STEPS, BLOCK_STEPS + 1, 128, 1024])
def test_every_step_has_its_observation(steps: int) -> None:
    replay = LabelReplay(ACTIONS, steps, steps, CPU, compressed=True)
    chunk = example_chunk(steps, ACTIONS, first_age=0, noise=True)
    replay.append(chunk)
    batch = replay.sample(200, torch.Generator().manual_seed(0))
    assert np.array_equal(batch.observations.numpy(), rebuild_observations(chunk)[batch.numbers.numpy()])


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_several_threads_gather_what_one_does(threads: int) -> None:
    chunk = example_chunk(100, ACTIONS, noise=True)
    generator = torch.Generator().manual_seed(0)
    places, ages = (torch.randint(most, (64,), generator=generator) for most in (100, 4))
    gathered: list[torch.Tensor] = []
    for count in (1, threads):
        frames = PackedFrames(1_000, CPU, count)
        first = frames.append(frames.pack(chunk.frames))
        gathered += [frames.gather(first + places, ages), frames.gather(first + places[:1], ages[:1])]
    assert torch.equal(gathered[0], gathered[2]) and torch.equal(gathered[1], gathered[3])


def test_a_block_takes_no_more_memory_than_its_length() -> None:
    packed = PackedFrames(1_000, CPU).pack(example_chunk(128, ACTIONS).frames)
    assert len(packed) == 128 // BLOCK_STEPS
    # zstandard's own bytes objects hold all that a block could have needed.
    tracemalloc.start()
    try:
        again = PackedFrames(1_000, CPU).pack(example_chunk(128, ACTIONS).frames)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * sum(map(len, again)) + 200_000


def test_nothing_of_a_dropped_chunk_is_kept() -> None:
    replay = label_replay(4 * BLOCK_STEPS, True)
    empty = replay.size
    for number in range(40):
        replay.append(versioned(1 + number % (3 * BLOCK_STEPS), number, 0))
    newest = replay.size - empty
    assert newest > 0
    assert replay.drop_before(1) > 0
    assert replay.size == empty
