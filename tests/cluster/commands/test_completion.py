"""What real shells offer at the Tab key, with the scripts of `distill completion`."""

import re
import subprocess
from pathlib import Path

import pytest

from cluster import cli
from cluster.commands.completion import script, subcommands
from tests.support import programs

SHELLS = ("bash", "zsh", "fish")

BASH = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_distill distill "${COMP_WORDS[COMP_CWORD]}"
if (( ${#COMPREPLY[@]} )); then printf '%s\\n' "${COMPREPLY[@]}"; else compgen -f -- "${COMP_WORDS[COMP_CWORD]}"; fi
"""
"""As bash does it: words of the function, and with `complete -o default` files where there are none."""
ZSH = """
_describe() { print -rl -- "${(@P)2%%:*}"; }
_files() { print -rl -- ${words[CURRENT]}*(N); }
file=$1; shift; words=("$@"); CURRENT=$#
source "$file"
"""
"""What zsh's own functions of completion would be given; they work in its line editor alone."""
FISH = 'source $argv[1]; complete --do-complete "$argv[2..]"'


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A shell and its script, in a folder with files to complete."""
    program = programs.require(request.param, "its completion")
    folder = tmp_path_factory.mktemp("completion")
    (folder / "_distill").write_text(script(request.param))
    for name in ("teacher.safetensors", "teaching.yaml"):
        (folder / name).touch()
    return program, folder


def offered(shell: tuple[str, Path], *words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    program, folder = shell
    code = {"bash": BASH, "zsh": ZSH, "fish": FISH}[Path(program).name]
    options = ("-c", code) if "fish" in program else ("-c", code, program)
    done = subprocess.run(
        [program, *options, "_distill", "distill", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return sorted({re.split(r"\t", line)[0] for line in done.stdout.splitlines() if line})


def test_every_subcommand_has_one_model_of_its_options():
    assert subcommands().keys() == cli.COMMANDS.keys()


def test_commands(shell: tuple[str, Path]):
    assert offered(shell, "r") == ["record", "report", "run", "runs"]
    assert offered(shell, "exp") == ["experiment", "export"]


@pytest.mark.parametrize(
    "words, expected",
    [
        (("run", "--stud"), ["--student", "--student-share", "--student-share-updates"]),
        (("run", "--student", "mu"), ["multi10", "multi3"]),
        (("run", "--games", "pong", "--loss", "re"), ["reverse-kl"]),
        (("run", "--tensor"), ["--tensorboard"]),
        (("run", "--no-tensor"), ["--no-tensorboard"]),
        (("teach", "--q-opt"), ["--q-optimizer"]),
        (("export", "--stud"), []),
    ],
    ids=" ".join,
)
def test_options_and_their_values(shell: tuple[str, Path], words: tuple[str, ...], expected: list[str]):
    assert offered(shell, *words) == expected


@pytest.mark.parametrize(
    "words",
    [("evaluate", "teach"), ("run", "--config", "teach"), ("run", "--teachers", "teach"), ("report", "x", "teach")],
)
def test_files(shell: tuple[str, Path], words: tuple[str, ...]):
    assert offered(shell, *words) == ["teacher.safetensors", "teaching.yaml"]


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_reads_the_script_without_an_error(name: str, tmp_path: Path):
    program = programs.require(name, "its completion")
    (tmp_path / "script").write_text(script(name))  # type: ignore[arg-type]
    done = subprocess.run([program, "-n", tmp_path / "script"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["completion", "fish"]) == 0
    assert capsys.readouterr().out == script("fish")
