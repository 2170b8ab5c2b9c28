"""What the live page makes of lines of metrics and evaluations."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.analysis.curves import GameCurves, Point, placed
from cluster.state.json_tail import JsonTail
from cluster.watch.history import MOST_SAMPLES, History
from cluster.watch.scores import mean_ratio, score_document


def metrics(i: int, waits: dict[str, float] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the line of a run after 5 i seconds: 100 updates and 1000 transitions each, the learner never waits."""
    collector = {
        "game": "pong",
        "transitions": 1000 * i,
        "episodes": i,
        "seconds": {"environment": 1.0 * i, "wait": 4.0 * i},
    }
    learner = {
        "seconds": 5.0 * i,
        "updates": 100 * i,
        "loss": {"pong": 1.0 / (i + 1)},
        "inserted_transitions": {"pong": 1000 * i},
        "wait_seconds": {"sample": 0.0, "insert": 2.5 * i} if waits is None else waits,
    }
    return {
        "time": 1e9 + 5.0 * i,
        "learners": {"student": learner},
        "collectors": {"pong-0": collector},
        **changes,
    }


def history(lines: int) -> History:
    known = History()
    for i in range(lines):
        known.add(metrics(i))
    return known


def test_a_tail_reads_whole_lines_once(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    tail = JsonTail(path)
    assert tail.read() == []
    path.write_text('{"a": 1}\nno json\n[2]\n{"a": NaN}\n{"a": 3')
    assert tail.read() == [{"a": 1}, {"a": None}]
    assert tail.read() == []
    with path.open("a") as file:
        file.write('0}\n{"a": 4}\n')
    assert tail.read() == [{"a": 30}, {"a": 4}]


@pytest.mark.parametrize("lines", [1, 2, MOST_SAMPLES, MOST_SAMPLES + 1, 10_000])
def test_curves_are_thinned_and_keep_both_ends(lines: int):
    curves = history(lines).curves("student")
    minutes = curves["minutes"]
    assert len(minutes) <= MOST_SAMPLES + 1
    assert len(minutes) >= min(lines, MOST_SAMPLES // 2)
    assert (minutes[0], minutes[-1]) == (0.0, round((lines - 1) * 5 / 60, 3))
    assert minutes == sorted(set(minutes))
    assert {len(curves[key]) for key in ("updates_per_second", "transitions_per_second")} == {len(minutes)}
    assert curves["updates_per_second"][1:] == [20.0] * (len(minutes) - 1), "rates do not depend on the thinning"
    assert curves["transitions_per_second"][1:] == [200.0] * (len(minutes) - 1)
    assert curves["loss"]["pong"][-1] == 1.0 / lines


def test_no_line_is_no_curve_and_no_wait():
    known = History()
    assert known.learners() == {}
    assert known.curves("student") == {
        "minutes": [], "updates_per_second": [], "transitions_per_second": [], "loss": {}
    }  # fmt: skip
    assert known.waits() == []


def test_waits_are_those_of_the_last_minute():
    known = history(100)
    assert {wait["who"]: wait["share"] for wait in known.waits()} == {
        "learner": 0.0, "feed": pytest.approx(0.5), "actors": pytest.approx(0.8)
    }  # fmt: skip
    for i in range(100, 112):
        known.add(metrics(i, {"sample": 5.0 * (i - 99), "insert": 2.5 * 99}))
    assert {wait["who"]: wait["share"] for wait in known.waits()}["learner"] == pytest.approx(1.0)


def test_an_actor_is_as_old_as_its_last_news():
    known = history(10)
    silent = metrics(9)["collectors"]
    for i in range(10, 16):
        known.add(metrics(i, collectors=silent))
    assert known.actors["pong-0"].time == 1e9 + 45.0
    assert known.actor_rate("pong-0") == pytest.approx(6000 / 60)
    known.add(metrics(16, collectors={"pong-0": metrics(1)["collectors"]["pong-0"]}))
    assert known.actor_rate("pong-0") is None, "a replaced actor counts anew"


def test_learners_are_told_by_their_line_the_student_first():
    known = History()
    one = {"seconds": 1.0, "updates": 5, "loss": {}, "inserted_transitions": {}}
    known.add({"time": 1.0, "learners": {"pong": one, "student": one}, "collectors": {}})
    assert list(known.learners()) == ["student", "pong"]


def test_evaluations_are_placed_at_their_time_and_compared_with_the_teacher():
    rows = [
        {
            "lineage": "student", "game": "breakout", "purpose": "look", "block": 0, "version": v,
            "updates": 100 * v, "scores": [v, v + 2.0],
        }
        for v in (1, 2)
    ]  # fmt: skip
    known = [{"learners": {"student": {"updates": 200 * i, "seconds": 240.0 * i}}} for i in (0, 1)]
    points = GameCurves.of(placed(rows, known), [], known, None, "breakout").students
    assert [(point.minutes, point.mean) for point in points] == [(2.0, 2.0), (4.0, 3.0)]
    document = score_document("breakout", points, [], [(0.0, 4.0)])
    assert document["ratio"] == [[2.0, 0.5], [4.0, 0.75]]
    assert [(point["version"], point["low"], point["high"]) for point in document["student"]] == [(1, 1, 3), (2, 2, 4)]
    assert json.dumps(document, allow_nan=False)
    assert placed(rows, []) == [], "nobody knows when they were published"


def test_a_student_is_compared_with_what_its_teacher_was_then():
    students = [Point(v, minutes, (4.0,)) for v, minutes in ((1, 0.5), (2, 1.0), (3, 5.0))]
    document = score_document("breakout", students, [], [(1.0, 2.0), (5.0, 8.0)])
    assert document["ratio"] == [[1.0, 2.0], [5.0, 0.5]]


def test_the_mean_ratio_is_of_versions_that_played_all_games():
    games = [{"scores": {"ratio": [[1.0, 0.2], [2.0, 0.4]]}}, {"scores": {"ratio": [[1.0, 0.6]]}}]
    assert mean_ratio(games) == [[1.0, pytest.approx(0.4)]]
