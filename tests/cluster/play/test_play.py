"""Who plays, and what is to be seen of it: in characters of a terminal, in a film, on the page."""

import http.client
import io
import json
import re
import sys
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from cluster import cli
from cluster.output.console import LiteralConsole
from cluster.play.episodes import Showing, results
from cluster.play.film import drawn as drawn_for_film
from cluster.play.film import picture_size, play_on_film
from cluster.play.lineup import Lineup, line_up
from cluster.play.screen import Screen, columns_of, rows_of
from cluster.play.server import play_server
from cluster.play.terminal import drawn
from distill.errors import ConfigError
from tests.support.played_models import untrained_student, worse_student
from tests.support.sandbox import TEACHERS
from tests.support.terminal import environment, on_terminal

BREAKOUT, PONG = TEACHERS / "breakout.safetensors", TEACHERS / "pong.safetensors"
DISTILL = Path(sys.executable).with_name("distill")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worse_student(tmp_path_factory.mktemp("models") / "worse.safetensors")


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "two.safetensors"
    return untrained_student(path, breakout=4, air_raid=6)


def test_who_plays(student: Path, of_two: Path) -> None:
    def who(lineup: Lineup) -> dict[str, list[str]]:
        return {game: [lineup.titles[role] for role in lineup.players(game)] for game in lineup.games}

    assert who(line_up(student, (), None, (TEACHERS,))) == {"breakout": ["Student", "Teacher"]}
    assert who(line_up(student, (), None, (Path("nowhere"),))) == {"breakout": ["Student"]}
    assert who(line_up(BREAKOUT, (), None, (TEACHERS,))) == {"breakout": ["Teacher"]}
    assert who(line_up(student, (), BREAKOUT, ())) == {"breakout": ["Student", "Teacher"]}
    assert who(line_up(student, (), of_two, ())) == {"breakout": ["worse", "two"]}
    assert who(line_up(of_two, (), None, (TEACHERS,))) == {"breakout": ["Student", "Teacher"], "air_raid": ["Student"]}
    assert line_up(of_two, ("air_raid",), None, (TEACHERS,)).titles == {"student": "Student"}
    for beside, games in ((PONG, ()), (None, ("pong",)), (student, ("air_raid",))):
        with pytest.raises(ConfigError, match=r"games: .* plays .*, not "):
            line_up(of_two, games, beside, ())


def test_the_temperatures_are_those_of_the_loss(student: Path, of_two: Path) -> None:
    assert (line_up(student, (), None, ()).tau, line_up(student, (), None, ()).student_tau) == (0.01, 1.0)
    alike = line_up(of_two, (), None, ())
    assert alike.tau == alike.student_tau


@pytest.mark.parametrize(
    ("columns", "height", "width"), [(40, 210, 160), (33, 250, 160), (7, 210, 160), (160, 210, 160)]
)
def test_a_picture_in_half_blocks_is_the_picture(columns: int, height: int, width: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200, height=200)
    lines = console.render_lines(Screen(picture, columns), pad=False)
    assert len(lines) == rows_of(columns, height, width)
    pixels = np.zeros((2 * len(lines), columns, 3), np.uint8)
    for row, line in enumerate(lines):
        column = 0
        for segment in line:
            assert segment.style is not None and set(segment.text) == {"\N{UPPER HALF BLOCK}"}
            for _ in segment.text:
                pixels[2 * row, column] = segment.style.color.get_truecolor()
                pixels[2 * row + 1, column] = segment.style.bgcolor.get_truecolor()
                column += 1
        assert column == columns
    # Averages over cells lie near those of the whole picture, and equal cells would be no picture.
    assert np.abs(pixels.mean((0, 1)) - picture.mean((0, 1))).max() < 3.0
    assert len(np.unique(pixels)) > 10


def test_a_picture_fits_into_the_rows_that_it_was_measured_for() -> None:
    for rows in range(1, 80):
        assert rows_of(columns_of(rows, 210, 160), 210, 160) <= rows
        assert rows_of(columns_of(rows, 250, 160), 250, 160) <= rows


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (100, 20), (44, 24), (24, 16)])
def test_what_is_drawn_fits_the_terminal(student: Path, of_two: Path, size: tuple[int, int]) -> None:
    for model, game in ((student, "breakout"), (of_two, "air_raid")):
        showing = Showing(line_up(model, (game,), None, (TEACHERS,)), 1, 3, 0.05, 2.0)
        console = LiteralConsole()
        console.size = size
        for episode, match in showing.matches():
            match.play(20)
            lines = console.render_lines(drawn(console, showing, episode, match), pad=False)
            assert len(lines) <= size[1]
            assert max(sum(cell_len(segment.text) for segment in line) for line in lines) <= size[0]
            text = "\n".join("".join(segment.text for segment in line) for line in lines)
            assert "Student" in text and "Score" in text
            assert ("q-values" in text) == (size[0] - 22 * len(match.seats) >= 26)


def test_episodes_end_together_and_are_cut_off(student: Path) -> None:
    showing = Showing(line_up(student, (), None, (TEACHERS,)), 2, 3, 0.05, 1.0)
    found = []
    for episode, match in showing.matches():
        assert sum(1 for _ in showing.steps(match)) == 16, "the beginning and a second of steps"
        found += results(episode, match)
    assert [(one.episode, one.who, one.seconds, one.finished) for one in found] == [
        (1, "student", 1.0, False), (1, "teacher", 1.0, False), (2, "student", 1.0, False), (2, "teacher", 1.0, False),
    ]  # fmt: skip


def test_whoever_has_ended_waits_for_the_other_one(student: Path) -> None:
    showing = Showing(line_up(student, (), None, (TEACHERS,)), 1, 3, 0.4, 600.0)
    for _, match in showing.matches():
        for _ in showing.steps(match):
            pass
        assert match.ended
        steps = {who: seat.steps for who, seat in match.seats.items()}
        assert len(set(steps.values())) == 2
        match.play(5)
        assert {who: seat.steps for who, seat in match.seats.items()} == steps


def test_a_film_shows_all_games_in_pictures_of_one_size(of_two: Path, tmp_path: Path) -> None:
    path, link = tmp_path / "play.mp4", tmp_path / "link.mp4"
    link.symlink_to(path)
    showing = Showing(line_up(of_two, (), None, (TEACHERS,)), 1, 3, 0.05, 0.4)
    shown = list(play_on_film(link, showing))
    assert [(one.game, one.who) for one in shown] == [
        ("breakout", "student"), ("breakout", "teacher"), ("air_raid", "student"),
    ]  # fmt: skip
    assert link.is_symlink()
    frames = list(imageio.get_reader(path, format="FFMPEG").iter_data())
    assert len(frames) == 2 * (7 + 15)
    assert len({frame.shape for frame in frames}) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.mp4", "play.mp4"]


def test_a_film_picture_shows_both_screens(student: Path) -> None:
    showing = Showing(line_up(student, (), None, (TEACHERS,)), 1, 3, 0.05, 0.4)
    for episode, match in showing.matches():
        match.play(3)
        picture = drawn_for_film(showing, episode, match, picture_size(showing.lineup))
        for number, seat in enumerate(match.seats.values()):
            left = 16 + number * (320 + 16)
            np.testing.assert_array_equal(picture[44 : 44 + 420 : 2, left : left + 320 : 2], seat.moment.picture)


def test_the_page_says_who_plays_and_streams_pictures(student: Path, of_two: Path) -> None:
    with play_server("two.safetensors", line_up(of_two, (), None, (TEACHERS,)), 1, 0.05, 0) as server:

        def get(path: str, **headers: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection(server.address, timeout=30)
            connection.request("GET", path, headers=headers)
            return connection.getresponse()

        state = json.loads(get("/state").read())
        assert [(game["game"], game["players"]) for game in state["games"]] == [
            ("breakout", ["student", "teacher"]), ("air_raid", ["student"]),
        ]  # fmt: skip
        start = get("/").read().decode()
        scripts = re.findall(r'src="([a-z]+\.js)"', start)
        for name in [*scripts, "screens.js", "playback.js", "live.js", "dom.js", "watch.css"]:
            assert get(f"/{name}").status == 200
        assert "http:" not in start and "https:" not in start
        assert get("/page.js").status == get("/chart.js").status == 404
        assert get("/state", Host="evil.example").status == 421
        answer, seen = get("/live"), {}
        for line in answer:
            if line.startswith(b"data: "):
                frame = json.loads(line[6:])
                seen[frame["game"]] = frame
            if len(seen) == 2:
                break
        assert seen["breakout"]["views"].keys() == {"student", "teacher"}
        assert seen["air_raid"]["seats"].keys() == {"student"}


def play_on_a_terminal(words: list[str], cwd: Path, **changes: str | None) -> tuple[int, str]:
    """Run `distill play` on a terminal of 120 columns and 40 rows; return its exit code and all that it wrote."""
    variables = environment(**{"COLORTERM": "truecolor", "TERM": "xterm-256color", **changes})
    code, written = on_terminal([DISTILL, "play", *words], 120, cwd, variables, rows=40)
    return code, written.decode()


def test_it_plays_on_a_terminal_and_leaves_it_as_it_was(student: Path, tmp_path: Path) -> None:
    words = [str(student), "--teachers", str(TEACHERS), "--seconds", "1", "--speed", "10"]
    code, written = play_on_a_terminal(words, tmp_path)
    assert code == 0, written
    assert written.count("\x1b[?1049h") == written.count("\x1b[?1049l") == 1
    assert written.count("\N{UPPER HALF BLOCK}") > 1000
    end = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.rpartition("\x1b[?1049l")[2]).split())
    assert "cut off after 1 s" in end and "Student" in end and "Teacher" in end


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NO_COLOR": "1", "TERM": "vt100"}, "need colours"),
        ({"PYTHONIOENCODING": "ascii"}, "needs half blocks, which ascii does not have"),
    ],
)
def test_a_terminal_that_cannot_show_pictures_is_told_so(
    changes: dict[str, str], message: str, student: Path, tmp_path: Path
) -> None:
    code, written = play_on_a_terminal([str(student)], tmp_path, **changes)
    assert code == 2
    assert message in " ".join(written.split())
    assert "Traceback" not in written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "standard output is no terminal to play on; name a film with --out, or give --page"),
        (("--page", "--out", "x.mp4"), "--page and --out: give one of the two"),
        (("--out", "film.avi"), "expected the name of an MP4 file, found 'film.avi'"),
        (("--out", "missing/x.mp4"), "missing is no folder"),
        (("--out", "mine.mp4"), "expected an MP4 film to replace, found something else"),
        (("--out", "folder.mp4"), "expected a file to write, found a folder"),
        (("--out", "x.mp4", "--games", "pong"), "plays breakout, not pong"),
        (("--out", "x.mp4", "--beside", "nothing"), "nothing: expected a model file, found nothing there"),
        (("--out", "x.mp4", "--episodes", "0"), "episodes: expected at least 1"),
    ],
)
def test_wrong_use_is_one_line(
    words: tuple[str, ...], message: str, student: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.mp4").write_text("my holidays")
    (tmp_path / "folder.mp4").mkdir()
    assert cli.run(["play", str(student), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "x.mp4").exists()
    assert (tmp_path / "mine.mp4").read_text() == "my holidays"
