"""The picture of an online run: which scores count, how spread is measured, and that it is drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from cluster.online.picture import Point, draw_run, last_half, points_of, score_curve, spread
from cluster.run_folder import RunFolder


def row(line: str, version: int, block: int, seconds: float, *scores: float) -> dict:
    return {
        "line": line, "version": version, "game": "pong", "block": block, "fresh": block >= 1_000_000,
        "updates": 10 * version, "seconds": seconds, "transitions": {"pong": 1000 * version}, "scores": list(scores),
    }  # fmt: skip


def test_only_the_first_look_at_a_version_is_a_point():
    rows = [
        row("pong", 2, 0, 120.0, 3.0, 5.0),
        row("pong", 1, 0, 60.0, 1.0),
        row("pong", 1, 1, 60.0, 9.0),
        row("pong", 1, 1_000_000, 60.0, 9.0),
        row("student", 1, 0, 90.0, 7.0),
    ]
    assert points_of(rows, "pong", "pong") == [Point(1, 1.0, (1.0,)), Point(2, 2.0, (3.0, 5.0))]
    assert [point.mean for point in points_of(rows, "pong", "pong")] == [1.0, 4.0]
    assert score_curve([r for r in rows if r["line"] == "pong"]) == {"pong": [[1000, 1.0], [2000, 4.0]]}


def test_spread_is_that_around_the_trend_of_the_last_half():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=200)
    # A steep climb with noise of 1 in the last half, and of 10 in the first, which does not count.
    points = [
        Point(index, float(index), (0.3 * index + (10.0 if index < 100 else 1.0) * noise[index],))
        for index in range(200)
    ]
    assert [point.version for point in last_half(points)] == list(range(100, 200))
    assert spread(points) == pytest.approx(1.0, abs=0.15)
    assert spread(points[:7]) is not None
    assert spread(points[:5]) is None, "three points of a last half say nothing"


def test_a_run_is_drawn_whole_and_one_without_scores_is_not(tmp_path: Path):
    folder = RunFolder(tmp_path)
    draw_run(folder)
    assert not (tmp_path / "picture.png").exists()
    generator = np.random.default_rng(1)
    promotions = []
    for index in range(1, 17):
        minutes = 60.0 * 4 * index
        folder.append("evaluations.jsonl", row("pong", index, 0, minutes, *generator.normal(index - 8.0, 4.0, 8)))
        folder.append(
            "evaluations.jsonl", row("student", index, 0, minutes + 60, *generator.normal(index - 8.0, 2.0, 8))
        )
        if index % 4 == 0:
            promotions.append({
                "version": index, "parent": None, "names": ["best"], "why": "better", "time": 1.0, "kind": "promotion",
                "scores": {"pong": {"mean": index - 7.0, "interval": None, "episodes": 8}},
            })  # fmt: skip
        learners = {
            name: {"seconds": minutes, "updates": speed * index, "lag": {"pong": float(index % 3 == 0)}}
            for name, speed in (("pong", 900), ("student", 1300))
        }
        folder.append("metrics.jsonl", {"learners": learners})
    models = tmp_path / "models" / "pong"
    models.mkdir(parents=True)
    (models / "ledger.json").write_text(json.dumps({"promotions": promotions, "verdicts": {}, "scores": {}}))
    draw_run(folder)
    picture = imread(tmp_path / "picture.png")
    assert picture.shape[0] > 600 and picture.shape[1] > 700
    colours = {tuple(round(255 * c) for c in pixel[:3]) for pixel in picture[::2, ::2].reshape(-1, picture.shape[2])}
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x99, 0x99, 0x99)):
        assert colour in colours, "student, teacher and candidates are drawn"
