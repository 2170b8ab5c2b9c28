from rich.console import Console

from cluster.analysis.table import result_table
from distill.scores import Comparison, GameScore, compare


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
