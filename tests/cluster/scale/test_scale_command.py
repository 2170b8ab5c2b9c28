"""`distill scale` as a process: killed, stopped, gone on with; real actors on Ray; and what it refuses."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from cluster import cli
from cluster.ray.cluster import RayCluster
from cluster.run.stop_request import StopRequest
from cluster.scale.cells import Cell
from cluster.scale.folder import ScaleFolder
from cluster.scale.measure import Measurements
from cluster.scale.points import append_point
from cluster.scale.reference import Reference
from tests.support.made_points import REAL, experiment
from tests.support.sandbox import TEACHERS, Sandbox, new_sandbox, rows

SECONDS = 110.0
SIMULATE = (
    "scale", "--simulate-env", "40", "--lanes", "8", "--chunk-steps", "16", "--actors", "1,25", "--repeats", "1",
    "--seconds", "1", "--warm-up", "0", "--redis-shards", "2", "--teachers", str(TEACHERS), "--out", "scaling",
)  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.timeout(400)
def test_a_killed_experiment_goes_on_and_measures_no_point_again(own_ray: None, sandbox: Sandbox):
    words = (*SIMULATE, "--address", ray.get_runtime_context().gcs_address)
    folder = ScaleFolder(sandbox.path / "scaling")
    first = sandbox.start(*words)
    first.until(lambda: rows(folder.path, "points.jsonl"), "a point is measured", SECONDS)
    first.kill_group()
    before = folder.points.read_bytes()
    again = sandbox.distill(*words, seconds=SECONDS)
    assert again.code == 0, again.output
    assert folder.points.read_bytes().startswith(before)
    points = rows(folder.path, "points.jsonl")
    assert [point["actors"] for point in points] == [1, 25]
    for point in points:
        books = point["books"]
        assert books["wrong"] == []
        assert books["acknowledged"] == books["trained"] + books["trimmed"] + books["stored"] > 0
        assert point["samples"] > 0
        assert point["cpu_seconds"].keys() == {"actors", "redis", "learner", "rest"}
        assert all(point["network_bytes"].values())
    for file in (folder.rows, folder.summary, folder.picture):
        assert file.exists()
    for word in ("1 of 2 measurements are left", "Books: where every acknowledged chunk is", "At 25 actors"):
        assert word in again.output


@pytest.mark.timeout(400)
def test_one_that_is_asked_to_stop_says_how_to_go_on_and_leaves_nothing(own_ray: None, sandbox: Sandbox):
    words = (*SIMULATE, "--address", ray.get_runtime_context().gcs_address, "--seconds", "3600")
    process = sandbox.start(*words)
    process.until(lambda: "measurements are left" in process.output, "it has begun", SECONDS)
    process.until(lambda: list(sandbox.temporary.glob("distill-scale-*")), "a cell has begun", SECONDS)
    process.signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0, process.output
    assert "stopped; the same command goes on" in process.output
    assert not (sandbox.path / "scaling" / "points.jsonl").exists()
    assert sandbox.leftovers() == []


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("own_ray")
def test_real_actors_are_measured_beside_bare_loops():
    settings = replace(REAL, learn=True, lanes=4, chunk_steps=16, seconds=1.0, warm_up=0.5)
    teacher = (TEACHERS / "pong.safetensors").read_bytes()
    stop = StopRequest()
    measurements = Measurements(settings, teacher, RayCluster(2), stop, Reference(settings, teacher), "here", "unknown")
    point = measurements.measure(Cell(1, 1, 1))
    assert point.transitions > 0
    assert point.samples > 0
    assert point.books is None
    assert point.efficiency is not None
    assert 0.0 < point.efficiency < 10.0
    assert 0.0 < point.push["p50"] <= point.push["p99"]
    assert 0.0 < point.cores_of("actors") < 2.5
    stop.requested = True
    with pytest.raises(KeyboardInterrupt):
        measurements.measure(Cell(1, 1, 2))


@pytest.mark.parametrize(
    "words, told",
    [
        (("--actors", "0"), "actors"),
        (("--actors", "1,x"), "expected a whole number"),
        (("--actors", "2000"), "actors: expected numbers from 1 to 1,024, found 2000"),
        (("--simulate-env", "20", "--actors", "20000"), "from 1 to 10,000"),
        (("--simulate-env", "0"), "simulate"),
        (("--redis-shards", "2", "--buffer", "redis://a:1"), "expected at most 1, since --buffer names 1 servers"),
        (("--page", "x.md"), "page: it goes with --render"),
        (("--render",), "points.jsonl is not there"),
        (("--teachers", "nowhere"), "nowhere"),
        (("--buffer", "redis://:secret@a:1"), "without a password"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else None,
)
def test_wrong_words_are_refused_in_one_sentence(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = ("scale", "--teachers", str(TEACHERS), "--out", str(tmp_path / "out"), *words)
    assert cli.run(given) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for each in experiment((1, 2)):
        append_point(ScaleFolder(tmp_path).points, each)
    before = ScaleFolder(tmp_path).points.read_bytes()
    assert cli.run(("scale", "--teachers", str(TEACHERS), "--out", str(tmp_path))) == 2
    assert "measured otherwise: simulate_env 20.0, now None" in capsys.readouterr().err
    assert ScaleFolder(tmp_path).points.read_bytes() == before


def test_rendering_needs_no_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = ScaleFolder(tmp_path)
    for each in experiment((1, 10, 400)):
        append_point(folder.points, each)
    assert cli.run(("scale", "--render", "--out", str(tmp_path))) == 0
    printed = capsys.readouterr().out
    assert "At 400 actors" in printed
    assert json.loads(folder.summary.read_text())["machine"] == "a machine of 4 cores"


def test_books_that_do_not_balance_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (good,) = experiment((1,), repeats=1)
    assert good.books is not None
    wrong = "1 chunks are acknowledged, and now nowhere: a/1"
    append_point(ScaleFolder(tmp_path).points, replace(good, books={**good.books, "lost": 1, "wrong": [wrong]}))
    assert cli.run(("scale", "--render", "--out", str(tmp_path))) == 2
    said = capsys.readouterr()
    assert wrong in said.out
    assert "the books of 1 measurements do not balance" in said.err
