"""What reaches a terminal, a pipe or a file: a user's words as they are, no traceback, colours only where wanted."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cluster import cli
from cluster.output.console import LiteralConsole
from cluster.output.literal import literal, paragraph
from cluster.output.shell import command_line
from cluster.output.standard_output import _Outlived  # pyright: ignore[reportPrivateUsage]
from distill.models import load_model, save_model
from tests.support.sandbox import TEACHERS, TINY, UNTRAINED
from tests.support.terminal import environment, on_terminal

DISTILL = Path(sys.executable).with_name("distill")
WORDS = (
    "[old]/a", "a[/b]", "[bold red]x", "[link=x]y", ":smile:", "[", "\\[x]", "a b", "it's", "é", "漢字",
    "\x1b[2J\x1b]0;title\x07", "a\nb", "a\rb", "\u202eevil", "\x9b31m", "\x7f", "b\udcff", "\b\b\v\f\t",
)  # fmt: skip
"""What files, folders and cards can be called."""
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


def piped(command: str, cwd: Path, **changes: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, in which `distill` is the installed command; its exit code is that of `distill`."""
    script = f"{command}\nexit ${{PIPESTATUS[0]}}"
    env = environment(**changes) | {"PATH": f"{DISTILL.parent}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", script], capture_output=True, cwd=cwd, env=env, timeout=100, check=False)


def is_quiet(text: str) -> bool:
    """Return whether nothing in a text steers a terminal."""
    return all(character.isprintable() or character in "\n\t" for character in text)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> LiteralConsole:
    """The console of a process whose standard output is a buffer."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8", "strict"))
    return LiteralConsole()


def printed(console: LiteralConsole, *things: object) -> str:
    with console.capture() as capture:
        for thing in things:
            console.print(thing, soft_wrap=isinstance(thing, str))
    return capture.get()


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_a_word_is_printed_as_it_is_wherever_it_stands(word: str, console: LiteralConsole):
    table = Table(word, title=word, caption=word)
    table.add_row(word)
    tree = Tree(word)
    tree.add(word)
    for thing, times in ((word, 1), (table, 4), (tree, 2), (Group(word, word), 2), (f"student: {word}/a", 1)):
        output = printed(console, thing)
        assert output.count(literal(word)) == times
        assert is_quiet(output)


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_a_text_that_a_library_made_keeps_its_lines_and_steers_nothing(word: str, console: LiteralConsole):
    output = printed(console, Text(f"first\n{word}"))
    assert is_quiet(output) and output.startswith("first\n")


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_one_line_that_steers_nothing(text: str):
    shown = literal(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=())))
def test_further_lines_pass_for_no_message_of_their_own(text: str):
    first, *others = paragraph(text).split("\n")
    assert [first, *others] == [literal(first), *map(literal, others)]
    assert all(line.startswith("    ") for line in others)
    assert len(others) == text.count("\n")


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda word: 0 not in word), min_size=1, max_size=5))
def test_a_shell_reads_the_words_of_a_command(words: list[bytes]):
    line = command_line(*map(os.fsdecode, words))
    assert is_quiet(line.encode("utf-8", "strict").decode()) and "\n" not in line
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    assert read == b"".join(word + b"\0" for word in words)


def test_a_command_of_plain_words_is_as_shlex_joins_it():
    words = ["distill", "run", "--resume", "[old] x/a's"]
    assert command_line(*words) == shlex.join(words)


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_a_word_in_a_path_is_printed_by_commands_and_errors(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    folder = Path(word) / "teachers"
    folder.mkdir(parents=True)
    network, card = load_model(TEACHERS / "pong.safetensors")
    how = "\x1b[31m[/b]\u202e" + word.replace("\udcff", "")
    save_model(folder / "pong.safetensors", network, replace(card, training={"algorithm": how}))
    assert cli.run(["teachers", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert is_quiet(shown) and "\\x1b[31m[/b]\\u202e" in "".join(shown.split())
    assert cli.run(["runs", "--root", word]) == 0
    shown = capsys.readouterr().out
    assert is_quiet(shown) and f"no runs in {literal(str(Path(word)))}" in shown
    for arguments in (["evaluate", f"{word}/x"], ["runs", f"--{word}"], ["runs", "--root", "x", "--delete", word]):
        assert cli.run(arguments) == 2, arguments
        refused = capsys.readouterr()
        assert is_quiet(refused.err) and "Traceback" not in refused.err and not refused.out
        told = refused.err.replace("\t", "\\t")
        assert all(line in told for line in map(literal, word.split("\n")))


def test_a_run_with_brackets_in_its_path_ends_well_and_is_resumed_as_it_says(tmp_path: Path):
    place = tmp_path / "[old] é" / "[/b]"
    place.mkdir(parents=True)
    options = shlex.join([*TINY, *UNTRAINED, "--serial", "--name", "a"])
    done = piped(f"distill run {options} --updates 20", place)
    assert done.returncode == 0, done.stderr
    assert f"student: {place}/runs/a/student.safetensors\n" in done.stdout.decode()
    again = piped(f"distill run {options} --updates 20", place)
    resume = re.search(r"go on with `(.+?)`,", again.stderr.decode())
    assert again.returncode == 2 and resume is not None
    resumed = piped(f"{resume[1]} --updates 30", tmp_path)
    assert resumed.returncode == 0 and b"Traceback" not in resumed.stderr, resumed.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_no_encoding_is_too_small(changes: dict[str, str], tmp_path: Path):
    (tmp_path / "é漢").mkdir()
    done = piped("distill runs --root é漢 && distill runs --help && distill run $'\\xff'", tmp_path, **changes)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert b"no runs in" in done.stdout and b"--delete" in done.stdout
    assert b"Unrecognized" in done.stderr


READER = [
    "distill --help | true",
    "distill help | head -1",
    "distill runs | true",
    "distill help online | head -1",
    "distill nonsense 2>&1 | true",
    "distill teachers . 2>&1 | true",
]


@pytest.mark.parametrize("command", READER)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(command: str, tmp_path: Path):
    done = piped(command, tmp_path)
    assert done.stderr == b""
    assert done.returncode in (0, 2, 141), "0 where the pipe took all before its reader went"


def run_with(stdout: int | None, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [DISTILL, *arguments], stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path, env=environment(), timeout=100,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("runs",), ("runs", "--help")])
def test_a_broken_pipe_is_told_by_the_exit_code_alone(arguments: tuple[str, ...], tmp_path: Path):
    reading, writing = os.pipe()
    os.close(reading)
    done = run_with(writing, tmp_path, *arguments)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", ["--version", "runs", "runs --help"])
@pytest.mark.parametrize(
    "place, said",
    [
        (">&-", b"distill: standard output is closed; send it somewhere, to /dev/null for instance\n"),
        ("> /dev/full", b"distill: standard output: No space left on device; not everything was printed\n"),
    ],
)
def test_an_output_that_takes_nothing_is_told_in_one_sentence(arguments: str, place: str, said: bytes, tmp_path: Path):
    done = piped(f"distill {arguments} {place}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", said)


@pytest.mark.parametrize("place", ["<&-", "< /dev/null", "2>&-", "<&- 2>&-"])
def test_other_closed_streams_do_no_harm(place: str, tmp_path: Path):
    done = piped(f"distill runs {place}", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"") and b"no runs in runs" in done.stdout


def test_a_pipe_that_somebody_made_non_blocking_gets_everything():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = _Outlived(writing)
    data = bytes(range(256)) * 2_000
    child = subprocess.Popen(["sha256sum"], stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    assert stream.write(data) == len(data) and stream.error is None
    os.close(writing)
    expected = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout
    assert child.communicate()[0] == expected


@pytest.mark.parametrize("reader", ["2>&1 | head -1", "2>&1 | true", "2>&1 > /dev/full | head -1"])
def test_a_run_outlives_who_reads_it(reader: str, tmp_path: Path):
    options = shlex.join([*TINY, *UNTRAINED, "--serial", "--updates", "20", "--name", "a"])
    done = piped(f"distill run {options} {reader}", tmp_path)
    assert done.returncode == (2 if "full" in reader else 141)
    assert b"Traceback" not in done.stdout and done.stderr == b""
    run = tmp_path / "runs" / "a"
    assert (run / "student.safetensors").exists()
    lines = (run / "run.log").read_text()
    assert "standard error: Broken pipe" in lines and "the run goes on" in lines
    assert "student 1 is promoted" in lines, "what came afterwards is there"


SEVERAL = "from cluster import cli\nfor words in {}:\n    cli.run(words)\n    print(flush=True)"
"""Runs several commands in one process; starting each costs seconds."""


@pytest.mark.parametrize(
    "changes, terminal, coloured",
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"TTY_COMPATIBLE": "1"}, False, True),
        ({"TTY_COMPATIBLE": "0"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
    ids=str,
)
def test_colours_are_where_they_are_wanted(changes: dict[str, str], terminal: bool, coloured: bool, tmp_path: Path):
    (tmp_path / "mixed").mkdir()
    shutil.copy(TEACHERS / "pong.safetensors", tmp_path / "mixed")
    commands = [["--help"], ["runs", "--help"], ["teachers", "mixed"], ["runs", "--nonsense"]]
    program = [sys.executable, "-c", SEVERAL.format(commands)]
    env = environment(**changes)
    if terminal:
        _, output = on_terminal(program, 100, tmp_path, env)
    else:
        done = subprocess.run(program, capture_output=True, cwd=tmp_path, env=env, timeout=100, check=False)
        output = done.stdout + done.stderr
    text = output.decode().replace("\r\n", "\n")
    assert "Traceback" not in text and "unrecognized" in text.lower() and "mixed" in text
    assert bool(re.search("\x1b\\[[0-9;]*3[0-7]m", text)) == coloured
    assert is_quiet(re.sub("\x1b\\[[0-9;]*m", "", text)), "no other control codes"
    if not coloured and "NO_COLOR" not in changes:  # which is against colours, not against bold
        assert is_quiet(text)


def test_a_refusal_into_a_file_has_no_colours_of_the_terminal(tmp_path: Path):
    command = ["bash", "-c", f"exec {shlex.quote(str(DISTILL))} runs --nonsense 2> refusal"]
    code, _ = on_terminal(command, 80, tmp_path, environment())
    assert code == 2
    assert b"\x1b" not in (tmp_path / "refusal").read_bytes()


EVERY_WIDTH = """
import fcntl, os, resource, struct, sys, termios
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from cluster import cli
for width in [0, *range(1, 50), 79, 80, 129, 130, 131, 195, 300, 500]:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    for arguments in (["runs", "--root", "[/b]"], ["teachers", sys.argv[1]], ["run", "-h"], ["help"]):
        assert cli.run(arguments) == 0, (width, arguments)
    assert cli.run(["runs", "--nonsense"]) == 2
print("all", "widths")
"""


def test_no_width_of_a_terminal_is_too_small_or_too_large(tmp_path: Path):
    code, output = on_terminal([sys.executable, "-c", EVERY_WIDTH, str(TEACHERS)], 80, tmp_path, environment())
    assert code == 0 and b"all widths" in output and b"Traceback" not in output, output[-2000:]


@pytest.mark.parametrize("columns", ["1", "2", "20", "0", "-3", "many", ""])
def test_no_value_of_columns_is_harmful(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["run", "--help"], ["teachers", str(TEACHERS)], ["--help"]):
        assert cli.run(arguments) == 0
        assert capsys.readouterr().out
    assert os.environ["COLUMNS"] == columns, "it is not left changed"


def test_columns_of_0_do_not_empty_a_terminal(tmp_path: Path):
    code, output = on_terminal([DISTILL, "runs"], 100, tmp_path, environment(COLUMNS="0"))
    assert code == 0 and b"no runs in runs" in output


@pytest.mark.parametrize("columns, most", [("60", 60), ("200", 200), (None, 140)])
def test_columns_sets_the_width_of_what_is_piped(
    columns: str | None, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert cli.run(["teachers", str(TEACHERS)]) == 0
    widths = set(map(len, capsys.readouterr().out.splitlines()))
    assert max(widths) == most


@pytest.mark.parametrize("columns", [0, 1, 30, 500])
def test_a_live_display_fits_every_terminal(columns: int, tmp_path: Path):
    place = tmp_path / "[old]"
    place.mkdir()
    options = [*TINY, *UNTRAINED, "--serial", "--updates", "20", "--name", "a"]
    code, output = on_terminal([DISTILL, "run", *options], columns, place, environment())
    assert code == 0 and b"Traceback" not in output, output[-2000:]
    assert b"\x1b[?25l" in output and output.rstrip().endswith(b"student.safetensors"), "drawn, and the cursor is back"
    if columns >= 80:
        assert b"run a" in output and str(place).encode() in output.replace(b"\r\n", b"")


def test_a_dumb_terminal_and_forced_colours_get_lines_and_no_live_display(tmp_path: Path):
    options = [*TINY, *UNTRAINED, "--serial", "--updates", "20", "--name", "a"]
    code, output = on_terminal([DISTILL, "run", *options], 80, tmp_path, environment(TERM="dumb"))
    assert code == 0 and b"\x1b" not in output and b"student 1 is promoted" in output
    done = subprocess.run(
        [DISTILL, "run", *options, "--name", "b"], capture_output=True, cwd=tmp_path, env=environment(FORCE_COLOR="1"),
        timeout=100, check=True,
    )  # fmt: skip
    assert is_quiet(COLOURS.sub(b"", done.stdout + done.stderr).decode()), "nothing moves a cursor"
