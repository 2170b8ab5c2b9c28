"""Event files hold the numbers of every line of metrics, as TensorBoard itself reads them."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cluster.monitor.tensorboard import TensorBoard, scalars


def test_tensorboard_reads_what_was_written(tmp_path: Path):
    board = TensorBoard(tmp_path)
    for updates in (100, 200):
        board.write({
            "time": 1.0, "updates": updates, "loss": {"pong": 1.0 / updates}, "done": False, "note": "x",
            "collectors": {"pong-0": {"game": "pong", "seconds": {"wait": 2}}},
        })  # fmt: skip
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["collectors/pong-0/seconds/wait", "loss/pong"]
    assert [(event.step, round(event.value, 4)) for event in events.Scalars("loss/pong")] == [(100, 0.01), (200, 0.005)]


def test_only_numbers_are_scalars():
    assert dict(scalars({"a": 1, "b": {"c": 2.5, "d": True, "e": "x", "time": 3}, "time": 9, "updates": 8})) == {
        "a": 1.0, "b/c": 2.5, "b/time": 3.0,
    }  # fmt: skip
