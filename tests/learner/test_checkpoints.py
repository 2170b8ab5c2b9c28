"""Checkpoints restore everything, survive damage, and keep the newest and the best by score."""

import json
from pathlib import Path

import pytest
import torch

from distill.errors import RunError
from learner.checkpoints import CheckpointStore, load_updater_tensors, updater_tensors
from learner.student_updater import StudentUpdater
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


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    tensors = updater_tensors(make_student_updater())
    with pytest.raises(RunError, match="does not fit"):
        load_updater_tensors(make_student_updater(student="net3"), tensors)


def test_newest_and_best_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=2)
    tensors = {"x": torch.zeros(1)}
    for updates in range(1, 8):
        store.save(updates, tensors, {}, version=updates)
        if updates <= 6:
            store.record_score(updates, score=-abs(updates - 3))
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert names == [f"checkpoint-{n:010d}.safetensors" for n in (3, 6, 7)]
    reopened = CheckpointStore(tmp_path, keep_last=2)
    assert [entry.updates for entry in reopened.entries] == [3, 6, 7]
    best = reopened.best()
    assert best is not None
    assert (best.updates, best.version, best.score) == (3, 3, 0)
    found = reopened.load_latest()
    assert found is not None


def test_a_later_checkpoint_of_the_same_update_keeps_version_and_score(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, 2)
    store.save(5, {"x": torch.zeros(1)}, {}, version=1)
    store.record_score(1, 0.5)
    store.save(5, {"x": torch.ones(1)}, {})
    (entry,) = store.entries
    assert (entry.version, entry.score) == (1, 0.5)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, 3)
    for updates in (1, 2):
        store.save(updates, {"x": torch.full((4,), float(updates))}, {"updates": updates})
    newest = tmp_path / "checkpoint-0000000002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    (tmp_path / ".distill-0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "thesis.tmp").write_bytes(b"of the user")
    reopened = CheckpointStore(tmp_path, 3)
    found = reopened.load_latest()
    assert found is not None
    assert found[1] == {"updates": 1}
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["thesis.tmp"]
    (tmp_path / "checkpoint-0000000001.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match="none of its 2"):
        reopened.load_latest()


def test_a_damaged_manifest_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"checkpoints": [{"fil": 1}]}))
    with pytest.raises(RunError, match=r"manifest\.json"):
        CheckpointStore(tmp_path, 3)


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "new", 3).load_latest() is None
