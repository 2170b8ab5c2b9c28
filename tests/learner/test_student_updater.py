"""One update: it learns, follows the schedule, and skips what is not finite."""

import math

import numpy as np
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.errors import RunError
from distill.losses import distillation_loss
from distill.networks import QNetwork
from learner.device import autocast_dtype
from learner.gradient_updater import LIFE_CHECK_EVERY, MAX_BLIND_IN_A_ROW
from learner.label_replay import LabelReplay
from learner.optimizer import learning_rate
from learner.student_updater import StudentUpdater
from tests.support.learnable_chunks import learnable_chunk, tiny_config

CPU = torch.device("cpu")
ACTIONS = {"breakout": 4, "pong": 6}


def updater_on(settings: dict[str, object], q_values: np.ndarray | None = None) -> StudentUpdater:
    torch.manual_seed(1)
    config = tiny_config(settings)
    replays = {}
    for game, count in ACTIONS.items():
        replays[game] = LabelReplay(count, 2_048, 16, CPU)
        for sequence in range(40):
            labels = None if q_values is None else np.broadcast_to(q_values, (16, count)).copy()
            replays[game].append(learnable_chunk(game, count, sequence, q_values=labels))
    network = QNetwork(ARCHITECTURES["one_percent"], ACTIONS)
    return StudentUpdater(
        network,
        replays,
        config.student,
        config.learner.optimization,
        CPU,
        autocast_dtype(CPU, config.training.precision),
        1,
    )


@torch.no_grad()
def test_a_game_whose_labels_are_logits_has_a_temperature_of_its_own():
    plain = updater_on({})
    config = tiny_config({})
    mixed = StudentUpdater(
        plain.network, plain._replays, config.student, config.learner.optimization, CPU, None, 1, taus={"pong": 1.0}
    )
    for game, tau in (("breakout", 0.01), ("pong", 1.0)):
        batch = plain._replays[game].sample(8, torch.Generator().manual_seed(1))
        outputs = mixed.network(batch.observations, game)
        expected = distillation_loss("kl", outputs, batch.q_values, tau).mean()
        torch.testing.assert_close(mixed._loss(batch, game), expected)
        assert (abs(plain._loss(batch, game) - expected) > 1e-3) == (game == "pong")


def agreement(updater: StudentUpdater) -> float:
    right = total = 0
    for game, replay in updater._replays.items():
        batch = replay.sample(256, torch.Generator().manual_seed(5))
        with torch.inference_mode():
            outputs = updater.network(batch.observations, game)
        right += int((outputs.argmax(1) == batch.q_values.argmax(1)).sum())
        total += 256
    return right / total


def learns(updater: StudentUpdater, most_updates: int) -> bool:
    """Update until the student agrees with its teacher, which is looked at now and then."""
    for made in range(1, most_updates + 1):
        assert updater.update(0.0)[0].finite
        if made % 25 == 0 and agreement(updater) > 0.95:
            return True
    return False


@pytest.mark.parametrize("loss", ["kl", "nll", "mse"])
@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_it_learns_which_action_the_teacher_likes_best(loss: str, optimizer: str) -> None:
    updater = updater_on({"loss": loss, "optimizer": optimizer, "warmup_updates": 100})
    assert agreement(updater) < 0.5
    assert learns(updater, 300)


def test_bfloat16_learns_too_and_labels_stay_exact() -> None:
    updater = updater_on({"precision": "bfloat16"})
    assert agreement(updater) < 0.5
    assert learns(updater, 400)


def test_games_are_drawn_evenly_and_only_the_drawn_controller_moves() -> None:
    updater = updater_on({})
    before = {name: value.clone() for name, value in updater.network.state_dict().items()}
    game = updater.update(0.0)[0].game
    moved = {name for name, value in updater.network.state_dict().items() if not torch.equal(value, before[name])}
    other = next(name for name in ACTIONS if name != game)
    assert any(name.startswith(f"heads.{game}") for name in moved)
    assert not any(name.startswith(f"heads.{other}") for name in moved)
    games = [updater.update(0.0)[0].game for _ in range(150)]
    assert 55 < games.count("pong") < 95


def test_ten_updates_in_a_row_that_are_not_finite_stop_the_run_and_name_the_chunks() -> None:
    updater = updater_on({"loss": "mse"}, q_values=np.float32(3e38))
    before = {name: value.clone() for name, value in updater.network.state_dict().items()}
    for skipped in range(1, 10):
        assert not updater.update(0.0)[0].finite
        assert updater.nonfinite_updates == skipped
    with pytest.raises(RunError, match=r"10 updates in a row .*producer-of-\w+/\d+"):
        updater.update(0.0)
    assert all(torch.equal(value, before[name]) for name, value in updater.network.state_dict().items())


def test_gradients_are_scaled_down_to_the_limit() -> None:
    updater = updater_on({"loss": "mse", "max_gradient_norm": 0.01}, q_values=np.float32(1e3))
    updater.update(0.0)
    gradients = [parameter.grad for parameter in updater.network.parameters() if parameter.grad is not None]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(0.01, rel=1e-3)


def test_a_network_that_has_died_is_reported_and_a_live_one_is_not() -> None:
    updater = updater_on({})

    def update_and_check() -> None:
        updater.updates = LIFE_CHECK_EVERY - 1
        updater.update(0.0)

    for _ in range(2 * MAX_BLIND_IN_A_ROW):
        update_and_check()
    with torch.no_grad():
        updater.network.conv2.bias.fill_(-1e3)
    for _ in range(MAX_BLIND_IN_A_ROW - 1):
        update_and_check()
    with pytest.raises(RunError, match="the network is dead"):
        update_and_check()


def test_learning_rate_schedule() -> None:
    config = tiny_config({"learning_rate": 0.1, "warmup_updates": 10, "schedule": "cosine"}).learner
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.01)
    assert learning_rate(config, 9, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 10, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 10, 0.5) == pytest.approx(0.05)
    assert learning_rate(config, 10, 0.25) == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(config, 10, 1.0) == pytest.approx(0.0)
    constant = tiny_config({"learning_rate": 0.1}).learner
    assert learning_rate(constant, 10**6, 0.9) == 0.1


def test_precision_is_chosen_by_the_hardware() -> None:
    assert autocast_dtype(CPU, "float32") is None
    assert autocast_dtype(CPU, "bfloat16") is torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    assert autocast_dtype(CPU, "auto") is (torch.bfloat16 if native else None)
