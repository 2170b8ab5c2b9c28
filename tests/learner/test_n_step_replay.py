"""n-step transitions against a slow, obvious walk through the chunk."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import Chunk, ChunkHeader, column_shapes, rebuild_observations
from learner.n_step_replay import NStepReplay, NStepRule, n_step_columns

ACTIONS = 4


def chunk_of(steps: int, seed: int, version: int = 0) -> Chunk:
    random = np.random.default_rng(seed)
    shapes = column_shapes(steps, ACTIONS)
    terminated = random.random(steps) < 0.1
    return Chunk(
        ChunkHeader("run", "breakout", "p", f"p{seed}", seed, version, 0, steps, ACTIONS, int(random.integers(4))),
        frames=random.integers(1, 256, shapes["frames"], dtype=np.uint8),
        q_values=random.normal(size=shapes["q_values"]).astype(np.float32),
        taken=random.integers(ACTIONS, size=steps).astype(np.uint8),
        rewards=random.choice([-7.0, 0.0, 0.5, 4.0], size=steps).astype(np.float32),
        terminated=terminated,
        truncated=~terminated & (random.random(steps) < 0.05),
        life_lost=random.random(steps) < 0.1,
    )


def walk(chunk: Chunk, step: int, rule: NStepRule) -> tuple[float, float, int] | None:
    """Return return, discount and successor of a step, or None if what follows was not observed."""
    total = 0.0
    for i in range(rule.steps):
        at = step + i
        if at >= chunk.header.steps:
            return None
        reward = float(chunk.rewards[at])
        total += rule.discount**i * (max(-1.0, min(1.0, reward)) if rule.clip_rewards else reward)
        if chunk.terminated[at] or (rule.life_loss_ends and chunk.life_lost[at]):
            return total, 0.0, step
        if chunk.truncated[at]:
            return None
    successor = step + rule.steps
    return (total, rule.discount**rule.steps, successor) if successor < chunk.header.steps else None


rules = st.builds(NStepRule, st.integers(1, 6), st.sampled_from([0.5, 0.99]), st.booleans(), st.booleans())


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(1, 24), seed=st.integers(0, 10_000), rule=rules)
def test_columns_are_those_of_a_walk_through_the_chunk(steps: int, seed: int, rule: NStepRule):
    chunk = chunk_of(steps, seed)
    expected = {step: found for step in range(steps) if (found := walk(chunk, step, rule)) is not None}
    at, columns = n_step_columns(chunk, rule)
    assert at.tolist() == list(expected)
    for row, step in enumerate(at):
        total, discount, successor = expected[int(step)]
        assert columns["returns"][row] == pytest.approx(total, abs=1e-5)
        assert columns["discounts"][row] == pytest.approx(discount)
        assert step + columns["ahead"][row] == successor
        assert columns["actions"][row] == chunk.taken[step]


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 24), min_size=1, max_size=14), capacity=st.integers(24, 90), rule=rules)
def test_samples_are_the_newest_transitions_bit_for_bit(sizes: list[int], capacity: int, rule: NStepRule):
    replay = NStepReplay(rule, capacity, 24, torch.device("cpu"))
    rows = []
    for seed, steps in enumerate(sizes):
        chunk = chunk_of(steps, seed)
        replay.append(chunk)
        observations = rebuild_observations(chunk)
        for step in range(steps):
            if (found := walk(chunk, step, rule)) is not None:
                rows.append((observations[step], observations[found[2]], chunk.taken[step], *found[:2]))
    assert len(replay) <= len(rows)
    if not len(replay):
        return
    batch = replay.sample(64, torch.Generator().manual_seed(0))
    for row, number in enumerate(batch.numbers.tolist()):
        observation, successor, action, total, discount = rows[number]
        assert np.array_equal(batch.observations[row].numpy(), observation)
        assert np.array_equal(batch.successors[row].numpy(), successor)
        assert batch.actions[row] == action
        assert float(batch.returns[row]) == pytest.approx(total, abs=1e-5)
        assert float(batch.discounts[row]) == pytest.approx(discount)
    assert max(batch.numbers.tolist()) < len(rows)


def test_older_versions_are_dropped_up_to_the_last_of_them():
    replay = NStepReplay(NStepRule(1, 0.9, True, False), 1_000, 16, torch.device("cpu"))
    for seed, version in enumerate((3, 4, 3, 5, 4)):
        chunk = chunk_of(16, seed, version)
        quiet = {name: np.zeros(16, bool) for name in ("terminated", "truncated", "life_lost")}
        replay.append(replace(chunk, **quiet))
    assert len(replay) == 5 * 15
    assert replay.drop_before(4) == 3 * 15, "with it goes what lies before it"
    versions = replay.sample(200, torch.Generator().manual_seed(0)).versions
    assert sorted(set(versions.tolist())) == [4, 5]
    assert replay.drop_before(9) == 2 * 15
    assert len(replay) == 0
