"""The lines of `points.jsonl`, and everything that is made from them."""

import csv
import json
from pathlib import Path

import pytest

from cluster.scale.cells import cells_of, differences
from cluster.scale.conduct import Plan
from cluster.scale.folder import ScaleFolder
from cluster.scale.points import append_point, read_points
from cluster.scale.results import write_results
from distill.errors import ConfigError, RunError
from tests.support.made_points import REAL, SIMULATED, experiment, point

MACHINE = point().machine


@pytest.fixture
def folder(tmp_path: Path) -> ScaleFolder:
    return ScaleFolder(tmp_path)


def write(folder: ScaleFolder, *points: object) -> None:
    for each in points:
        append_point(folder.points, each)  # pyright: ignore[reportArgumentType]


def test_points_come_back_as_they_were_the_newer_of_two(folder: ScaleFolder):
    write(folder, point(2), point(1), point(2, transitions=7.0))
    assert read_points(folder.points) == [point(1), point(2, transitions=7.0)]


def test_no_folder_has_no_points(folder: ScaleFolder):
    assert read_points(folder.points) == []
    assert write_results(folder) is None


@pytest.mark.parametrize("line", ["{", "[]", '{"actors": 1}', "null"])
def test_a_damaged_line_is_refused(folder: ScaleFolder, line: str):
    write(folder, point(1))
    with folder.points.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(RunError, match="found 1 damaged lines"):
        read_points(folder.points)


def test_what_is_measured_is_not_left(folder: ScaleFolder):
    cells = cells_of((1, 2), (1, 2), 2)
    assert len(cells) == 8
    write(folder, point(2, 1, 1), point(1, 2, 2))
    plan = Plan.of(SIMULATED, cells, folder, MACHINE)
    assert {cell.name for cell in cells} - {cell.name for cell in plan.left} == {
        "2 actors, 1 Redis server, repeat 1",
        "1 actor, 2 Redis servers, repeat 2",
    }


def test_points_of_other_settings_or_machines_are_not_mixed(folder: ScaleFolder):
    write(folder, point(1))
    with pytest.raises(ConfigError, match=r"simulate_env 20\.0, now None; give another --out"):
        Plan.of(REAL, cells_of((1,), (1,), 1), folder, MACHINE)
    with pytest.raises(ConfigError, match="machine a machine of 4 cores, now another"):
        Plan.of(SIMULATED, cells_of((1,), (1,), 1), folder, "another")
    assert differences(SIMULATED.identity(), SIMULATED.identity()) == ""


@pytest.mark.parametrize("settings", [REAL, SIMULATED], ids=["real", "simulated"])
def test_everything_is_made_from_the_points(folder: ScaleFolder, settings: object):
    points = experiment((1, 2, 4), (1, 2), 2, settings)  # pyright: ignore[reportArgumentType]
    write(folder, *points)
    summary = write_results(folder)
    assert summary is not None
    document = json.loads(folder.summary.read_text())
    assert [each["servers"] for each in document["curves"]] == [1, 2]
    assert len(document["points"]) == len(points)
    rows = list(csv.DictReader(folder.rows.open()))
    assert [float(row["transitions"]) for row in rows] == [each.transitions for each in read_points(folder.points)]
    assert {"cpu_seconds.redis", "network_bytes.to_redis", "push.p99", "settings.game"} <= rows[0].keys()
    assert folder.picture.read_bytes().startswith(b"\x89PNG")


def test_one_cell_is_enough_for_results(folder: ScaleFolder):
    write(folder, point(1, push={}, transitions=0.0, ingested=0.0))
    summary = write_results(folder)
    assert summary is not None
    assert summary.curves[0].amdahl is None


def test_two_commands_do_not_measure_into_one_folder(folder: ScaleFolder):
    with folder.claim(), pytest.raises(RunError, match="another process measures into it"), folder.claim():
        pass
