"""Trackers keep a run's figures, and whatever they do, the run goes on and counts what they drop."""

import logging
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cluster.monitor.trackers import tracking
from cluster.monitor.trackers.catalogue import require_tracker, require_trackers
from cluster.monitor.trackers.tracker import Tracked, scalars
from cluster.monitor.trackers.tracking import MOST_WAITING, Tracking
from cluster.state.unwritten import Unwritten
from distill.config import MonitoringConfig
from distill.errors import ConfigError
from tests.support.sandbox import new_sandbox, rows

ROWS = {
    100: {"loss": {"pong": 0.5}},
    200: {"loss": {"pong": 0.25}, "done": False, "collectors": {"pong-0": {"wait": 2}}},
}
HISTORY = [(100, 0.5), (200, 0.25)]
WANDB_BLOCK = 32_768


@pytest.fixture
def run(tmp_path: Path) -> Tracked:
    return Tracked(tmp_path, "a run", "0123456789abcdef", {"games": ["pong"], "tau": 0.01, "root": tmp_path})


def follow(kind: str, run: Tracked, rows: dict[int, dict[str, Any]] = ROWS) -> list[str]:
    """Track rows to the end; return what the user was told."""
    told: list[str] = []
    with closing(Tracking(kind, run, Unwritten(told.append))) as tracker:
        for updates, row in rows.items():
            tracker.write(updates, row)
    return told


def tensorboard_history(run: Tracked) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["collectors/pong-0/wait", "loss/pong"]
    return [(event.step, event.value) for event in events.Scalars("loss/pong")]


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yield the records of an offline run: blocks of 32 KiB, the first behind a mark, of pieces of records."""
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if WANDB_BLOCK - at % WANDB_BLOCK < 7:
            at += WANDB_BLOCK - at % WANDB_BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            yield record
            record = b""


def wandb_history(run: Tracked) -> list[tuple[int, float]]:
    from wandb.proto.wandb_internal_pb2 import Record

    points: list[tuple[int, float]] = []
    for path in sorted(run.folder.glob(f"wandb/offline-run-*/run-{run.run_id}.wandb")):
        for data in wandb_records(path):
            items = Record.FromString(data).history.item
            if row := {"/".join(item.nested_key) or item.key: float(item.value_json) for item in items}:
                points.append((int(row["updates"]), row["loss/pong"]))
    return points


def mlflow_history(run: Tracked) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"file:{run.folder / 'mlflow'}")
    experiment = client.get_experiment_by_name("policy-distillery")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == run.name and found.data.params["tau"] == "0.01"
    assert found.info.status == "FINISHED"
    return [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, "loss/pong")]


@pytest.fixture
def local(run: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what trackers write on this machine, in the run's folder, however slow it is."""
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 100.0)
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(run.folder),
        "MLFLOW_TRACKING_URI": f"file:{run.folder / 'mlflow'}",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    "kind, history", [("tensorboard", tensorboard_history), ("wandb", wandb_history), ("mlflow", mlflow_history)]
)
def test_a_tracker_keeps_the_figures_of_every_row_also_of_a_run_that_was_resumed(
    kind: str, history: Callable[[Tracked], list[tuple[int, float]]], run: Tracked
):
    pytest.importorskip(kind, reason=f"without {kind}: pip install 'policy-distillery[{kind}]'")
    assert follow(kind, run) == []
    assert history(run) == HISTORY
    assert follow(kind, run, {150: {"loss": {"pong": 0.4}}}) == []
    assert sorted(history(run)) == sorted([*HISTORY, (150, 0.4 if kind != "tensorboard" else pytest.approx(0.4))])


def test_only_numbers_are_figures():
    assert dict(scalars({"a": 1, "b": {"c": 2.5, "d": True, "e": "x", "time": 3}, "time": 9, "updates": 8})) == {
        "a": 1.0, "b/c": 2.5, "b/time": 3.0,
    }  # fmt: skip


LIBRARY = """
import os, sys, time

class Settings:
    def __init__(self, **settings):
        pass

class Run:
    def define_metric(self, *names, **options):
        pass
    def log(self, values):
        {log}
    def finish(self):
        {finish}

def init(**options):
    print("a library's greeting on standard output")
    {init}
    return Run()
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package in the place of wandb that misbehaves."""

    def make(*, init: str = "pass", log: str = "pass", finish: str = "pass") -> None:
        (tmp_path / "wandb.py").write_text(LIBRARY.format(init=init, log=log, finish=finish))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    return make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 1.0)


@pytest.mark.parametrize(
    "faults, why",
    [
        ({"init": "raise OSError('api_key not configured')"}, "OSError: api_key not configured"),
        ({"init": "sys.exit('no such project')"}, "its process has ended: no such project"),
        ({"log": "os._exit(3)"}, "its process has ended"),
        ({"log": "os.kill(os.getpid(), 11)"}, "its process has ended"),
        ({"log": "raise ValueError('two' + chr(10) + 'lines')"}, "ValueError: two lines"),
        ({"log": "raise RuntimeError()"}, "RuntimeError"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_what_a_tracker_refuses_is_counted_and_told_once(
    faults: dict[str, str], why: str, run: Tracked, library: Callable[..., None]
):
    library(**faults)
    told: list[str] = []
    unwritten = Unwritten(told.append)
    with closing(Tracking("wandb", run, unwritten)) as tracker:
        for updates, row in ROWS.items():
            tracker.write(updates, row)
    assert unwritten.counts == {"wandb": 2}
    (line,) = told
    assert line.startswith(f"wandb: {why}") and line.endswith("; the run goes on, and counts what is refused")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "faults", [{"init": "time.sleep(99)"}, {"log": "time.sleep(99)"}, {"finish": "time.sleep(99)"}]
)
def test_a_tracker_that_hangs_is_given_up(faults: dict[str, str], run: Tracked, library: Callable[..., None]):
    library(**faults)
    unwritten = Unwritten(lambda _: None)
    began = time.monotonic()
    with closing(Tracking("wandb", run, unwritten)) as tracker:
        tracker.write(1, {"loss": 1.0})
    assert unwritten.counts == {"wandb": 1}
    assert time.monotonic() - began < 10.0


@pytest.mark.usefixtures("impatient")
def test_a_run_never_waits_for_a_slow_tracker_and_rows_that_find_no_room_are_counted(
    run: Tracked, library: Callable[..., None]
):
    library(init="time.sleep(99)")
    told: list[str] = []
    unwritten = Unwritten(told.append)
    tracker = Tracking("wandb", run, unwritten)
    began = time.monotonic()
    for updates in range(MOST_WAITING + 10):
        tracker.write(updates, {"loss": 1.0})
    assert time.monotonic() - began < 0.5
    assert 9 <= unwritten.counts["wandb"] <= 10, "one of them may be on its way"
    tracker.close()
    assert unwritten.counts["wandb"] == MOST_WAITING + 10, "every row that is nowhere is counted"
    assert told[0].startswith("wandb: it is slow: 64 rows wait for it, and no more may; ")


def test_a_tracker_whose_process_dies_gets_another_one(
    run: Tracked, library: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tracking, "RESTART_SECONDS", 0.0)
    mark = run.folder / "died"
    library(init=f"os.path.exists({str(mark)!r}) or (open({str(mark)!r}, 'w'), os._exit(1))")
    told: list[str] = []
    with closing(Tracking("wandb", run, Unwritten(told.append))) as tracker:
        for updates, row in ROWS.items():
            tracker.write(updates, row)
    assert [line.partition(";")[0] for line in told] == [
        "wandb: its process has ended: a library's greeting on standard output",
        "wandb: written again",
    ]


def test_a_run_is_tracked_and_ends_though_another_tracker_dies(
    library: Callable[..., None], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    library(init="sys.exit('no such project')")
    with new_sandbox() as sandbox:
        options = ("--updates", "40", "--eval-every", "20", "--games", "breakout", "--tensorboard", "--wandb")
        sandbox.train_here("tracked", "--serial", *options)
        folder = sandbox.run("tracked")
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        scores = {event.step: event.value for event in events.Scalars("score/student/breakout")}
        assert scores == {
            row["updates"]: pytest.approx(fmean(row["scores"])) for row in rows(folder, "evaluations.jsonl")
        }
        assert events.Scalars("learners/student/loss/breakout")[-1].step == 40
        assert "wandb: its process has ended: no such project;" in caplog.text


def test_what_is_not_installed_is_refused_at_the_start():
    with pytest.raises(ConfigError, match=r"^no_such: .*pip install 'policy-distillery\[no_such\]'"):
        require_tracker("no_such")
    require_trackers(MonitoringConfig())
