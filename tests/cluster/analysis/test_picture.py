"""The picture of a run: panels of scores, of steadiness and of losses, for every kind of run."""

import json
from collections.abc import Sequence
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from cluster.analysis.picture import draw_run
from cluster.models.lineage import Lineage
from cluster.state.folder import PICTURE, RunFolder
from distill.errors import RunError
from tests.support.evaluations import row

TEN_GAMES = ("pong", "breakout", "enduro", "freeway", "ms_pacman", "qbert", "riverraid", "seaquest", "pitfall", "alien")
PANEL = (594, 363)
"""Pixels of a panel."""
BLUE, ORANGE, GREY = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x99, 0x99, 0x99)


def student_of(games: Sequence[str]) -> Lineage:
    return Lineage("student", tuple(games), "student", ("best", "production"))


def inputs(games: Sequence[str], evaluations: int = 6):
    """Return scores of teachers, rows of evaluations and rows of metrics of a run with fixed teachers."""
    generator = np.random.default_rng(0)
    teachers = {game: list(generator.normal(100, 20, 40)) for game in games}
    rows = [
        {
            "lineage": "student", "game": game, "version": i, "purpose": "look", "block": 0,
            "updates": 1000 * i, "seconds": 10.0 * i, "scores": list(generator.normal(15 * i, 9, 8)),
        }
        for i in range(evaluations)
        for game in games
    ]  # fmt: skip
    metrics = [
        learner_row(at, {g: (i + 1) * float(np.exp(-at / 2000) + 0.01) for i, g in enumerate(games)})
        for at in range(100, 5000, 100)
    ]
    return teachers, rows, metrics


def learner_row(updates: int, loss: dict[str, float]) -> dict:
    student = {"updates": updates, "seconds": updates / 100, "loss": loss, "lag": {}}
    return {"time": float(updates), "learners": {"student": student}}


def drawn(folder: Path, games: Sequence[str], teachers, rows, metrics) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    draw_run(RunFolder(folder), [student_of(games)], teachers, rows, metrics)
    assert [file.name for file in folder.iterdir()] == [PICTURE]
    return imageio.imread(folder / PICTURE)


@pytest.mark.parametrize(("games", "columns", "lines"), [(1, 2, 1), (2, 3, 1), (3, 4, 1), (10, 4, 3)])
def test_a_run_with_fixed_teachers_has_a_panel_per_game_and_one_of_the_loss(tmp_path, games, columns, lines):
    picture = drawn(tmp_path / "run", TEN_GAMES[:games], *inputs(TEN_GAMES[:games]))
    height, width = picture.shape[:2]
    assert (width, height) == pytest.approx((PANEL[0] * columns, PANEL[1] * lines + 44), abs=2)
    # The student's blue is in every panel of a game; the first game's line of the loss has the same colour.
    blue = np.abs(picture[..., :3].astype(int) - BLUE).sum(axis=-1) < 30
    for panel in range(games + 1):
        line, column = divmod(panel, columns)
        cell = blue[line * height // lines : (line + 1) * height // lines, column * PANEL[0] : (column + 1) * PANEL[0]]
        assert cell.sum() > 50, f"panel {panel} is empty"


def test_a_run_that_has_hardly_begun_is_drawn(tmp_path):
    one = [
        {
            "lineage": "student", "game": "pong", "version": 1, "purpose": "look", "block": 0,
            "updates": 0, "seconds": 0.0, "scores": [1.0],
        }
    ]  # fmt: skip
    for name, (games, teachers, rows, metrics) in {
        "nothing": (["pong"], {"pong": []}, [], []),
        "one": (["pong"], {"pong": [2.0]}, one, []),
        "other": (["carnival"], {"carnival": [2.0, 3.0]}, [], [learner_row(1, {})]),
        "zero": (["pong"], {"pong": [1.0]}, [], [learner_row(i, {"pong": float("nan") if i else 0.0}) for i in (0, 1)]),
    }.items():
        assert drawn(tmp_path / name, games, teachers, rows, metrics).shape[0] > 100


def test_evaluations_are_sorted(tmp_path):
    teachers, rows, metrics = inputs(["pong"])
    there, back = (drawn(tmp_path / str(step), ["pong"], teachers, rows[::step], metrics) for step in (1, -1))
    assert (there == back).all()


def test_versions_of_which_only_updates_are_known_are_placed_by_the_metrics(tmp_path):
    teachers, rows, metrics = inputs(["pong"])
    rows = [row for row in rows if 100 <= row["updates"] <= 4900]
    unknown = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    known, placed = (drawn(tmp_path / str(len(r[0])), ["pong"], teachers, r, metrics) for r in (rows, unknown))
    assert (known == placed).all()


def test_a_loss_that_is_not_finite_does_not_spoil_the_scale(tmp_path):
    teachers, rows, metrics = inputs(["pong"])
    clean = drawn(tmp_path / "clean", ["pong"], teachers, rows, metrics)
    spoiled = drawn(tmp_path / "spoiled", ["pong"], teachers, rows, [*metrics, learner_row(9, {"pong": float("inf")})])
    assert (clean == spoiled).all()


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(RunError, match=r"missing/learning_curve\.png"):
        draw_run(RunFolder(tmp_path / "missing"), [student_of(["pong"])], *inputs(["pong"], 1))


def test_a_run_with_q_learner_and_student_shows_how_steady_it_is(tmp_path: Path):
    generator = np.random.default_rng(1)
    rows, metrics, promotions = [], [], []
    for index in range(1, 17):
        seconds = 60.0 * 4 * index
        rows.append(row("pong", index, 0, seconds, *generator.normal(index - 8.0, 4.0, 8)))
        rows.append(row("student", index, 0, seconds + 60, *generator.normal(index - 8.0, 2.0, 8)))
        if index % 4 == 0:
            promotions.append({
                "version": index, "parent": None, "names": ["best"], "why": "better", "kind": "promotion",
                "time": seconds + 120.0,
                "scores": {"pong": {"mean": index - 7.0, "interval": None, "episodes": 8}},
            })  # fmt: skip
        learners = {
            name: {"seconds": seconds, "updates": speed * index, "lag": {"pong": float(index % 3 == 0)}, "loss": {}}
            for name, speed in (("pong", 900), ("student", 1300))
        }
        metrics.append({"time": seconds, "learners": learners})
    models = tmp_path / "models" / "pong"
    models.mkdir(parents=True)
    (models / "ledger.json").write_text(json.dumps({"promotions": promotions, "verdicts": {}, "scores": {}}))
    lineages = [Lineage("pong", ("pong",), "candidate", ("best",)), student_of(["pong"])]
    draw_run(RunFolder(tmp_path), lineages, {}, rows, metrics)
    picture = imageio.imread(tmp_path / PICTURE)
    assert picture.shape[0] == pytest.approx(PANEL[1] * 3 + 44, abs=2), "scores, steadiness, losses"
    colours = {tuple(pixel[:3]) for pixel in picture[::2, ::2].reshape(-1, picture.shape[2]).tolist()}
    for colour in (BLUE, ORANGE, GREY):
        assert colour in colours, "student, teacher and candidates are drawn"
