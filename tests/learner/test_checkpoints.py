"""A folder of checkpoints keeps the newest and the best, tells of every loss, and belongs to the newest learner."""

import fcntl
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.errors import ReplacedError, RunError
from learner import checkpoints
from learner.checkpoint_file import encode_checkpoint, read_metadata, read_tensors
from learner.checkpoints import CheckpointStore, newest_checkpoint, set_aside

Log = pytest.LogCaptureFixture


def file(folder: Path, updates: int) -> Path:
    return folder / f"checkpoint-{updates:010d}.safetensors"


def filled(folder: Path, *updates: int, keep_last: int = 3, incarnation: int = 0) -> CheckpointStore:
    """Return a store with a checkpoint of each update, whose version has its number and is scored by it."""
    store = CheckpointStore(folder, keep_last, incarnation)
    for number in updates:
        store.save(number, {"x": torch.full((64,), float(number))}, {"updates": number}, version=number)
        store.record_score(number, number / 10.0)
    return store


def latest(store: CheckpointStore) -> int:
    found = store.load_latest()
    assert found is not None
    tensors, state = found
    assert tensors["x"].tolist() == [float(state["updates"])] * 64
    return state["updates"]


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


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "new", 3).load_latest() is None
    assert newest_checkpoint(tmp_path / "none") == (None, [])


def cut(data: bytes) -> bytes:
    return data[:-3]


def grown(data: bytes) -> bytes:
    return data + b"\0"


def nan(data: bytes) -> bytes:
    return data[:-4] + b"\0\0\xc0\x7f"


def flipped_state(data: bytes) -> bytes:
    return data.replace(b'\\"updates\\": 2', b'\\"updates\\": 9', 1)


def without_checksum(data: bytes) -> bytes:
    return data.replace(b'"checksum"', b'"chicksum"', 1)


def emptied(data: bytes) -> bytes:
    del data
    return b""


DAMAGE = (cut, grown, nan, flipped_state, without_checksum, emptied)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, caplog: Log, damage: Callable[[bytes], bytes]
) -> None:
    filled(tmp_path, 1, 2, keep_last=2)
    newest = file(tmp_path, 2)
    before = newest.read_bytes()
    newest.write_bytes(damage(before))
    assert newest.read_bytes() != before
    assert newest_checkpoint(tmp_path) == (1, [newest.name])
    (tmp_path / ".distill-0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "thesis.tmp").write_bytes(b"of the user")
    store = CheckpointStore(tmp_path, 1)
    assert latest(store) == 1
    assert f"checkpoint {newest} is damaged" in caplog.text
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["thesis.tmp"]
    # It does not take the place of sound ones until its update comes again, and can still be looked at.
    assert not newest.exists() and newest.with_name(f"{newest.name}.damaged").exists()
    file(tmp_path, 1).write_bytes(b"no")
    with pytest.raises(RunError, match=r"none of its 1 checkpoints is readable; .*--accept-loss"):
        store.load_latest()
    set_aside(tmp_path, newest_checkpoint(tmp_path)[1])
    assert CheckpointStore(tmp_path, 1).load_latest() is None


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="without a file that cannot be read by anybody")
def test_one_that_cannot_be_read_is_passed_over_and_left_where_it_is(tmp_path: Path, caplog: Log) -> None:
    filled(tmp_path, 1, 2)
    file(tmp_path, 2).unlink()
    file(tmp_path, 2).symlink_to("/proc/self/mem")
    assert latest(CheckpointStore(tmp_path, 3)) == 1
    assert "cannot be read: Input/output error; check that disk" in caplog.text
    assert file(tmp_path, 2).exists()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_of_a_checkpoint_changes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "checkpoint"
    whole = encode_checkpoint({"checksum": torch.arange(5.0), "b": torch.zeros(2)}, {"state": '{"checksum":"0"}'})
    path.write_bytes(whole)
    tensors, metadata = read_tensors(path)
    assert tensors["checksum"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0] and metadata["state"] == '{"checksum":"0"}'
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    for read in (read_tensors, read_metadata):
        with pytest.raises(ValueError):
            read(path)


MANIFESTS = {
    "removed": None,
    "empty": "",
    "no JSON": "{",
    "another shape": '{"checkpoints": [{"fil": 1}]}',
    "of 0.1.0": '{"checkpoints": []}',
    "a list": "[]",
    "nested": "[" * 100_000,
    "a file of the user": json.dumps({"incarnation": 0, "checkpoints": [{"file": "../thesis", "updates": 1}]}),
    "another update": json.dumps(
        {"incarnation": 0, "checkpoints": [{"file": "checkpoint-0000000004.safetensors", "updates": 5}]}
    ),
    "a text for a score": json.dumps(
        {"incarnation": 0, "checkpoints": [{"file": "checkpoint-0000000004.safetensors", "updates": 4, "score": "x"}]}
    ),
    "not UTF-8": b"\xff",
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_the_manifest_comes_back_from_the_checkpoints(
    tmp_path: Path, caplog: Log, manifest: str | bytes | None
) -> None:
    caplog.set_level(logging.INFO)
    before = filled(tmp_path, 1, 2, 3, 4, keep_last=2, incarnation=7).entries
    path = tmp_path / "manifest.json"
    if manifest is None:
        path.unlink()
    else:
        path.write_bytes(manifest if isinstance(manifest, bytes) else manifest.encode())
    with pytest.raises(ReplacedError):
        CheckpointStore(tmp_path, 2, 6)
    store = CheckpointStore(tmp_path, 2, 7)
    assert "it is written again from the 2 checkpoints" in caplog.text and str(path) in caplog.text
    # The score of the newest one came after the last checkpoint.
    assert store.entries[:-1] == before[:-1]
    assert (store.entries[-1].version, store.entries[-1].score) == (4, None)
    assert latest(store) == 4
    assert json.loads(path.read_text())["incarnation"] == 7


def test_a_damaged_checkpoint_leaves_only_a_gap_in_a_manifest_that_comes_back(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3)
    file(tmp_path, 3).write_bytes(b"no")
    (tmp_path / "manifest.json").unlink()
    store = CheckpointStore(tmp_path, 3)
    assert [(e.updates, e.version, e.score) for e in store.entries] == [(1, 1, 0.1), (2, 2, None), (3, None, None)]
    assert latest(store) == 2


def test_a_checkpoint_that_its_manifest_does_not_name_is_taken_all_the_same(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2)
    manifest = (tmp_path / "manifest.json").read_bytes()
    filled(tmp_path, 3)
    # As after a crash, or on a full disk, between the one and the other.
    (tmp_path / "manifest.json").write_bytes(manifest)
    store = CheckpointStore(tmp_path, 3)
    assert latest(store) == 3
    assert [entry.score for entry in store.entries] == [0.1, 0.2, None]


def test_files_that_are_gone_are_told(tmp_path: Path, caplog: Log) -> None:
    filled(tmp_path, 1, 2, 3)
    file(tmp_path, 2).unlink()
    file(tmp_path, 3).unlink()
    store = CheckpointStore(tmp_path, 3)
    assert f"2 checkpoints are in its manifest and no longer there: {file(tmp_path, 2).name}, " in caplog.text
    assert latest(store) == 1
    caplog.clear()
    file(tmp_path, 1).unlink()
    for updates in (4, 5):
        store.save(updates, {"x": torch.full((64,), float(updates))}, {"updates": updates})
    assert caplog.text.count("1 checkpoint is in its manifest and no longer there") == 1, "also while it goes on, once"
    assert [entry.updates for entry in store.entries] == [4, 5]


def test_an_older_learner_writes_nothing_beside_its_replacement(tmp_path: Path) -> None:
    old = filled(tmp_path, 100, incarnation=1)
    new = CheckpointStore(tmp_path, 3, 2)
    assert latest(new) == 100
    for owner in (None, 9_000):
        if owner is not None:
            new.save(owner, {"x": torch.full((64,), float(owner))}, {"updates": owner})
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ReplacedError, match="of incarnation 1, found one of 2"):
            old.save(160, {"x": torch.zeros(64)}, {"updates": 160})
        with pytest.raises(ReplacedError):
            old.record_score(100, 5.0)
        with pytest.raises(ReplacedError):
            CheckpointStore(tmp_path, 3, 1)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert latest(CheckpointStore(tmp_path, 3, 2)) == 9_000


def test_a_lock_that_is_held_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "LOCK_SECONDS", 0.05)
    with (tmp_path / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process has held"):
            store.save(2, {"x": torch.zeros(64)}, {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="without /dev/full")
def test_a_disk_that_refuses_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    store = filled(tmp_path, 1, 2)
    # A write to it fails as on a full disk; the name of the next checkpoint leads there.
    file(tmp_path, 3).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.save(3, {"x": torch.zeros(64)}, {})
    file(tmp_path, 3).unlink()
    assert [entry.updates for entry in store.entries] == [1, 2]
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(RunError, match=r"checkpoints in .*folder"):
        CheckpointStore(tmp_path / "folder", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
