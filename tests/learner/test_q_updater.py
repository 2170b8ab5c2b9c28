"""The Q-updater: its target against NumPy, its target network, and a game that it can learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.networks import QNetwork
from distill.teach_config import QLearnerConfig
from learner.n_step_replay import NStepReplay, NStepRule
from learner.q_updater import QUpdater
from learner.updater_tensors import load_updater_tensors, updater_tensors
from tests.support.learnable_chunks import STEPS, learnable_chunk

CPU = torch.device("cpu")
ACTIONS = 6


def updater_of(*, double: bool = True, target_every: int = 50, chunks: int = 40, learnable: bool = True) -> QUpdater:
    torch.manual_seed(1)
    replay = NStepReplay(NStepRule(2, 0.9, True, True), 4_096, STEPS, CPU)
    for sequence in range(chunks):
        chunk = learnable_chunk("pong", ACTIONS, sequence)
        random = np.random.default_rng(sequence)
        taken = random.integers(ACTIONS, size=STEPS).astype(np.uint8)
        # The best action is read off the newest frame, and rewarded at once.
        best = chunk.taken
        rewards = (taken == best).astype(np.float32) if learnable else random.normal(size=STEPS).astype(np.float32)
        replay.append(replace(chunk, taken=taken, rewards=rewards, terminated=random.random(STEPS) < 0.2))
    settings = QLearnerConfig(q_batch_size=32, q_learning_rate=1e-3).optimization
    network = QNetwork(ARCHITECTURES["one_percent"], {"pong": ACTIONS})
    return QUpdater(
        network, {"pong": replay}, settings, double=double, target_every=target_every, device=CPU, dtype=None, seed=1
    )


@pytest.mark.parametrize("double", [True, False])
def test_the_loss_is_that_of_the_formula(double: bool):
    updater = updater_of(double=double, learnable=False)
    with torch.no_grad():
        for parameter in updater.target.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    state = updater.sampler.get_state()
    batch = updater._replays["pong"].sample(32, updater.sampler)
    updater.sampler.set_state(state)
    with torch.inference_mode():
        online = updater.network(batch.observations, "pong").numpy()
        successor = updater.network(batch.successors, "pong").numpy()
        target = updater.target(batch.successors, "pong").numpy()
    chosen = (successor if double else target).argmax(1)
    wanted = batch.returns.numpy() + batch.discounts.numpy() * target[np.arange(32), chosen]
    error = np.abs(online[np.arange(32), batch.actions.numpy()] - wanted)
    huber = np.where(error <= 1.0, 0.5 * error**2, error - 0.5).mean()
    assert updater.update(0.0)[0].loss == pytest.approx(huber, rel=1e-4)


def test_the_target_network_follows_when_it_is_due():
    updater = updater_of(target_every=3)

    def same() -> bool:
        pairs = zip(updater.network.parameters(), updater.target.parameters(), strict=True)
        return all(torch.equal(mine, other) for mine, other in pairs)

    assert same()
    for due in (False, False, True, False, False, True):
        updater.update(0.0)
        assert same() == due


def test_it_learns_which_action_is_rewarded():
    updater = updater_of(chunks=200)
    batch = updater._replays["pong"].sample(512, torch.Generator().manual_seed(9))
    # The band's height tells the action that is rewarded.
    newest = batch.observations[:, 3, :, 0].numpy()
    right = np.array([(np.flatnonzero(column)[0] * ACTIONS) // 84 for column in newest])

    def share() -> float:
        with torch.inference_mode():
            return float((updater.network(batch.observations, "pong").argmax(1).numpy() == right).mean())

    assert share() < 0.5
    for made in range(1, 601):
        assert updater.update(0.0)[0].finite
        if made % 50 == 0 and share() > 0.9:
            return
    raise AssertionError(f"it takes the right action in {share():.2f} of the cases")


def test_a_checkpoint_holds_the_target_network_too():
    first = updater_of(target_every=1_000)
    for _ in range(5):
        first.update(0.0)
    tensors = updater_tensors(first)
    second = updater_of(target_every=1_000)
    load_updater_tensors(second, tensors)
    for name in ("network", "target"):
        for mine, other in zip(first.networks[name].parameters(), second.networks[name].parameters(), strict=True):
            assert torch.equal(mine, other)
    assert not all(
        torch.equal(mine, other)
        for mine, other in zip(second.network.parameters(), second.target.parameters(), strict=True)
    )
    assert first.update(0.0)[0].loss == second.update(0.0)[0].loss
