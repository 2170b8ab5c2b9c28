from collections.abc import Sequence

import imageio.v2 as imageio
import numpy as np
import pytest
from rich.console import Console

from cluster.analysis.table import learning_curve, result_table
from distill.errors import RunError
from distill.scores import Comparison, GameScore, compare

TEN_GAMES = ("pong", "breakout", "enduro", "freeway", "ms_pacman", "qbert", "riverraid", "seaquest", "pitfall", "alien")


def comparison(game: str, student: list[float], teacher: list[float]) -> Comparison:
    return compare(GameScore.of(game, "student", 3, student), GameScore.of(game, "teacher", 0, teacher))


def markdown_rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def rendered(table) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_a_table_of_games_with_positive_scores_has_the_five_columns():
    table, text = result_table([comparison("breakout", [9.0, 9.0], [10.0, 10.0])])
    assert markdown_rows(text) == [
        ["game", "teacher", "student", "ratio", "95 % interval"],
        ["---", "---:", "---:", "---:", "---:"],
        ["breakout", "10.0", "9.0", "0.900", "0.900 to 0.900"],
        ["geometric mean", "", "", "0.900", "0.900 to 0.900"],
    ]
    assert "raw ratio" not in rendered(table)


def test_the_raw_ratio_is_shown_only_where_it_differs():
    comparisons = [
        comparison("pong", [10.0, 10.0], [16.0, 16.0]),
        comparison("breakout", [9.0, 9.0], [10.0, 10.0]),
    ]
    table, text = result_table(comparisons)
    rows = markdown_rows(text)
    assert rows[0][-1] == "raw ratio"
    assert rows[2] == ["pong", "16.0", "10.0", "0.837", "0.837 to 0.837", "0.625"]
    assert rows[3][-1] == ""
    assert "pong: the ratio is (student - random) / (teacher - random)" in text
    terminal = rendered(table)
    for row in rows[:1] + rows[2:]:
        assert all(cell in terminal for cell in row)


def test_a_negative_teacher_has_no_raw_ratio_and_the_table_says_why():
    _, text = result_table([comparison("pong", [-3.0, -3.0], [-2.2, -2.2])])
    assert markdown_rows(text)[2][3:] == ["0.957", "0.957 to 0.957", "n/a"]
    assert "says nothing where the teacher's mean is not positive" in text


def test_a_missing_ratio_comes_with_its_reason():
    comparisons = [
        comparison("breakout", [9.0, 9.0], [10.0, 10.0]),
        comparison("pong", [0.0, 0.0], [-21.0, -21.0]),
    ]
    _, text = result_table(comparisons)
    assert markdown_rows(text)[3][3:5] == ["n/a", "n/a"]
    assert "pong: the teacher's -21.0 is not above random play's -20.7" in text
    assert "geometric mean: of 1 of 2 games, without pong" in text


def test_a_student_below_random_leaves_no_geometric_mean():
    _, text = result_table([comparison("pong", [-21.0, -21.0], [5.0, 5.0])])
    assert markdown_rows(text)[-1][3] == "n/a"
    assert "geometric mean: below random play: pong" in text


def curve_inputs(games: Sequence[str], evaluations: int = 6):
    generator = np.random.default_rng(0)
    teachers = {game: list(generator.normal(100, 20, 40)) for game in games}
    scored = [
        {
            "updates": 1000 * i,
            "version": i,
            "games": {g: {"scores": list(generator.normal(15 * i, 9, 8))} for g in games},
        }
        for i in range(evaluations)
    ]
    rows = [
        {
            "updates": at,
            "seconds": at / 100,
            "loss": {g: (i + 1) * float(np.exp(-at / 2000) + 0.01) for i, g in enumerate(games)},
        }
        for at in range(100, 5000, 100)
    ]
    return scored, teachers, rows


@pytest.mark.parametrize(("games", "columns", "lines"), [(1, 2, 1), (2, 3, 1), (3, 4, 1), (10, 4, 3)])
def test_a_curve_has_a_panel_per_game_and_one_of_the_loss(tmp_path, games, columns, lines):
    path = tmp_path / "curve.png"
    scored, teachers, rows = curve_inputs(TEN_GAMES[:games])
    learning_curve(path, scored, teachers, rows)
    picture = imageio.imread(path)
    height, width = picture.shape[:2]
    assert (width, height) == pytest.approx((462 * columns, 341 * lines + 66), abs=2)
    # The student's blue is in every panel of a game; the first game's line of the loss has the same colour.
    blue = (np.abs(picture[..., :3].astype(int) - (0, 0x72, 0xB2)).sum(axis=-1) < 30)[66:]
    for panel in range(games + 1):
        row, column = divmod(panel, columns)
        cell = blue[row * 341 : (row + 1) * 341, column * 462 : (column + 1) * 462]
        assert cell.sum() > 50, f"panel {panel} is empty"
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


def test_a_curve_copes_with_a_run_that_has_hardly_begun(tmp_path):
    for name, inputs in {
        "nothing": ([], {"pong": []}, []),
        "one": ([{"updates": 0, "version": 1, "games": {"pong": {"scores": [1.0]}}}], {"pong": [2.0]}, []),
        "other": ([{"updates": 0, "version": 1, "games": {}}], {"carnival": [2.0, 3.0]}, [{"updates": 1, "loss": {}}]),
        "zero": ([], {"pong": [1.0]}, [{"updates": i, "loss": {"pong": float("nan") if i else 0.0}} for i in (0, 1)]),
    }.items():
        path = tmp_path / f"{name}.png"
        learning_curve(path, *inputs)
        assert imageio.imread(path).shape[0] > 100


def test_a_curve_sorts_the_evaluations(tmp_path):
    scored, teachers, rows = curve_inputs(["pong"])
    learning_curve(tmp_path / "sorted.png", scored, teachers, rows)
    learning_curve(tmp_path / "reversed.png", scored[::-1], teachers, rows)
    assert (imageio.imread(tmp_path / "sorted.png") == imageio.imread(tmp_path / "reversed.png")).all()


def test_a_loss_that_is_not_finite_does_not_spoil_the_scale(tmp_path):
    scored, teachers, rows = curve_inputs(["pong"])
    learning_curve(tmp_path / "clean.png", scored, teachers, rows)
    spoiled = [*rows, {"updates": 90_000, "seconds": 1.0, "loss": {"pong": float("inf")}}]
    learning_curve(tmp_path / "spoiled.png", scored, teachers, spoiled)
    assert (imageio.imread(tmp_path / "clean.png") == imageio.imread(tmp_path / "spoiled.png")).all()


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(RunError, match=r"missing/x\.png"):
        learning_curve(tmp_path / "missing" / "x.png", *curve_inputs(["pong"], 1))
