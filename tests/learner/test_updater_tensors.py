"""An updater's tensors restore all of it, and only into an updater of the same kind."""

from pathlib import Path

import pytest
import torch

from distill.errors import RunError
from learner.checkpoints import CheckpointStore
from learner.student_updater import StudentUpdater
from learner.updater_tensors import load_updater_tensors, updater_tensors
from tests.support.learnable_chunks import make_student_updater


def weights(updater: StudentUpdater) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in updater.network.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_a_restored_learner_goes_on_exactly_as_the_first_one(tmp_path: Path, optimizer: str) -> None:
    first = make_student_updater(optimizer=optimizer)
    for _ in range(7):
        first.update(0.1)
    store = CheckpointStore(tmp_path, 3)
    store.save(first.updates, updater_tensors(first), {"note": [1, 2]})
    for _ in range(5):
        first.update(0.2)

    second = make_student_updater(seed=99, optimizer=optimizer)
    found = CheckpointStore(tmp_path, 3).load_latest()
    assert found is not None
    tensors, state = found
    load_updater_tensors(second, tensors)
    second.updates = 7
    assert state == {"note": [1, 2]}
    for _ in range(5):
        second.update(0.2)
    assert torch.equal(weights(first), weights(second))


def test_a_checkpoint_of_another_network_is_refused() -> None:
    tensors = updater_tensors(make_student_updater())
    with pytest.raises(RunError, match="does not fit"):
        load_updater_tensors(make_student_updater(student="net3"), tensors)
