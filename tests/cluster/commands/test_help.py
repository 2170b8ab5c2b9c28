"""The help of every subcommand, word for word, and that nothing but help is in it.

After a change of an option or its text: `.venv/bin/pytest tests/cluster/commands/test_help.py --renew-help`, and look
at the difference.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import cli

TEXTS = Path(__file__).with_name("help")
COLUMNS = 100
COMMANDS = ("", *cli.COMMANDS)
Capture = pytest.CaptureFixture[str]


def text_of(command: str) -> Path:
    return TEXTS / f"{command or 'distill'}.txt"


def without_margin(output: str) -> str:
    """Leave out the spaces that fill lines, which editors would cut off."""
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_is_word_for_word_what_is_kept(
    command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert cli.run([*filter(None, [command]), "--help"]) == 0
    printed = without_margin(capsys.readouterr().out)
    if request.config.getoption("renew_help"):
        text_of(command).write_text(printed)
    assert printed == text_of(command).read_text(), "if it should be so: pytest test_help.py --renew-help"


def test_no_other_texts_are_kept():
    assert {path.name for path in TEXTS.iterdir()} == {text_of(command).name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_tells_what_is_for_readers_of_the_source(command: str):
    text = text_of(command).read_text()
    for word in ("pyright", "noqa", "type:", "#", str(Path.home()), str(Path.cwd()), "\x1b"):
        assert word not in text
    assert all(len(line) <= COLUMNS for line in text.splitlines() if line.startswith("│")), "it keeps to the width"


def test_the_installed_command_prints_the_same_into_a_pipe(tmp_path: Path):
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "HOME": str(tmp_path), "PYTHONIOENCODING": "UTF-8"}
    done = subprocess.run(
        [Path(sys.executable).with_name("distill"), "runs", "-h"],
        capture_output=True, cwd=tmp_path, env=environment, timeout=60, check=True,
    )  # fmt: skip
    assert without_margin(done.stdout.decode()) == text_of("runs").read_text()
    assert done.stderr == b""


@pytest.mark.parametrize("arguments", [("help",), ("-h",), ("help", "help"), ("help", "--help")], ids=" ".join)
def test_all_ways_to_the_help(arguments: tuple[str, ...], capsys: Capture):
    assert cli.run(arguments) == 0
    assert without_margin(capsys.readouterr().out) == text_of("").read_text()


@pytest.mark.parametrize("arguments", [("help", "runs"), ("runs", "-h"), ("runs", "--root", "x", "--help")])
def test_all_ways_to_the_help_of_a_subcommand(
    arguments: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert cli.run(arguments) == 0
    assert "List runs with their size" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: Capture):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "policy-distillery 0.1.0\n"


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("ran", "run"),
        ("hlep", "help"),
        ("import", "import-teacher"),
        ("scale-act", "scale-actors"),
        ("evalute", "evaluate"),
    ],
)
def test_an_unknown_command_is_told_the_nearest(typed: str, meant: str, capsys: Capture):
    assert cli.run([typed]) == 2
    assert f"unknown command {typed!r}; did you mean `distill {meant}`?" in capsys.readouterr().err


def test_an_unknown_command_far_from_all_is_told_none(capsys: Capture):
    assert cli.run(["xyzzy"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_the_help_needs_neither_torch_nor_ray():
    code = "import sys, cluster.cli; cluster.cli.run(['--help']); print({'torch', 'ray', 'tyro'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
