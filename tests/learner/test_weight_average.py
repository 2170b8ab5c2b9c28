"""The running average of weights, against its definition, and where it is used."""

import numpy as np
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.networks import QNetwork
from learner.updater_tensors import load_updater_tensors, updater_tensors
from learner.weight_average import EVERY, WeightAverage
from tests.support.learnable_chunks import make_student_updater


def flat(network: QNetwork) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()]).double().numpy()


def test_it_is_the_weighted_sum_of_all_weights_at_its_steps():
    torch.manual_seed(1)
    network, decay = QNetwork(ARCHITECTURES["one_percent"], {"pong": 6}), 0.99
    average = WeightAverage(network, decay)
    kept = decay**EVERY
    wanted = flat(network)
    for updates in range(1, 5 * EVERY):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape))
        average.follow(updates)
        if updates % EVERY == 0:
            wanted = kept * wanted + (1.0 - kept) * flat(network)
    np.testing.assert_allclose(flat(average.network), wanted, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_a_learner_is_judged_by_its_average_and_trains_without_it():
    plain, averaging = make_student_updater(average=0.0), make_student_updater(average=0.9)
    for _ in range(3 * EVERY):
        plain.update(0.0)
        averaging.update(0.0)
    assert plain.judged is plain.network
    assert set(averaging.networks) == {"network", "average"}
    np.testing.assert_array_equal(flat(averaging.network), flat(plain.network), "the average takes no part in training")
    distance = np.abs(flat(averaging.judged) - flat(averaging.network)).max()
    assert 0.0 < distance < np.abs(flat(make_student_updater().network) - flat(averaging.network)).max()


@pytest.mark.parametrize("before", [0.0, 0.9])
def test_a_checkpoint_holds_the_average_and_a_new_one_begins_with_the_weights(before: float):
    first, second = make_student_updater(average=before), make_student_updater(seed=9, average=0.9)
    for _ in range(EVERY):
        first.update(0.0)
    load_updater_tensors(second, updater_tensors(first))
    np.testing.assert_array_equal(flat(second.judged), flat(first.judged))


def test_an_average_that_is_turned_off_is_left_in_the_checkpoint():
    first, second = make_student_updater(average=0.9), make_student_updater(seed=9, average=0.0)
    for _ in range(EVERY):
        first.update(0.0)
    load_updater_tensors(second, updater_tensors(first))
    np.testing.assert_array_equal(flat(second.judged), flat(first.network))
