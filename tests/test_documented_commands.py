"""Every command that a document shows is one that the program takes today; what the tutorial makes is what it says."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cluster import cli
from cluster.commands.completion import subcommands
from cluster.commands.options import parse_options
from distill.importing import import_teacher
from distill.models import load_model

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md")) + [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]


def shell_lines(document: Path) -> Iterator[str]:
    """Yield the lines of all shell blocks, continued ones as one."""
    inside, begun = False, ""
    for line in document.read_text().splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside and line.strip() == "```sh"
        elif inside:
            begun += line.strip().removesuffix("\\")
            if not line.endswith("\\"):
                yield begun
                begun = ""


def commands() -> list[tuple[str, list[str]]]:
    """Return the arguments of every `distill` with the document that shows it."""
    found: list[tuple[str, list[str]]] = []
    for document in DOCUMENTS:
        for line in shell_lines(document):
            words = shlex.split(line, comments=True)
            while "distill" in words:
                words = words[words.index("distill") + 1 :]
                end = next((i for i, word in enumerate(words) if word in ("|", "&", "&&", ">", ";")), len(words))
                found.append((document.name, words[:end]))
    return found


@pytest.fixture(scope="module")
def models():
    return subcommands()


@pytest.mark.parametrize("document, words", commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_documented_command_is_taken(document: str, words: list[str], models, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    name, *arguments = words
    if not name.startswith("-"):
        assert name in cli.COMMANDS
        parse_options(models[name], arguments, name, "")


def test_the_tutorials_checkpoint_is_one_of_stable_baselines3_that_plays_as_the_teacher(tmp_path: Path):
    file = tmp_path / "made" / "dqn_pong.zip"
    command = [sys.executable, ROOT / "docs/examples/sb3_checkpoint.py", file]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    imported, _ = import_teacher(file, "pong")
    teacher, _ = load_model(ROOT / "teachers/pong.safetensors")
    observations = torch.randint(0, 256, (8, 4, 84, 84), dtype=torch.uint8)
    torch.testing.assert_close(imported(observations, "pong"), teacher(observations, "pong"), atol=1e-5, rtol=0)
