"""What a release says of itself: the changelog, how to cite it, and the package's own description agree."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"## \[(?P<version>Unreleased|\d+\.\d+\.\d+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?")
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Of changes, in the order of Keep a Changelog."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.fixture(scope="module")
def sections() -> dict[str, list[str]]:
    """The kinds of changes by the heading of their version."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "CHANGELOG.md").read_text().splitlines():
        if line.startswith("## "):
            found[line] = []
        elif line.startswith("### "):
            found[[*found][-1]].append(line.removeprefix("### "))
    return found


def released(sections: dict[str, list[str]]) -> dict[str, date]:
    """Return the day of every version, newest first."""
    headings = [HEADING.fullmatch(line) for line in sections]
    return {match["version"]: date.fromisoformat(match["day"]) for match in headings if match and match["day"]}


def test_the_changelog_is_one_of_keep_a_changelog(sections: dict[str, list[str]]):
    assert all(HEADING.fullmatch(line) for line in sections)
    assert next(iter(sections)) == "## [Unreleased]"
    days = released(sections)
    assert len(days) == len(sections) - 1, "every version but the coming one has a day"
    assert [*days.values()] == sorted(days.values(), reverse=True)
    for kinds in sections.values():
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_changelog_citation_and_package_name_the_same_version(
    project: dict[str, Any], citation: dict[str, Any], sections: dict[str, list[str]]
):
    days = released(sections)
    assert next(iter(days)) == project["version"] == citation["version"]
    assert days[project["version"]] == citation["date-released"]
    assert (citation["license"], citation["authors"]) == (project["license"], project["authors"])
    assert citation["references"][0]["url"] == project["urls"]["Paper"]


def test_the_citation_has_the_form_that_readers_of_such_files_expect():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    done = subprocess.run([*command, ROOT / "CITATION.cff"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_package_says_for_which_pythons_it_is(project: dict[str, Any]):
    classifiers: list[str] = project["classifiers"]
    minor = [int(text.rpartition(".")[2]) for text in classifiers if re.search(r":: 3\.\d+$", text)]
    assert project["requires-python"] == f">=3.{min(minor)}"
    assert minor == [*range(min(minor), max(minor) + 1)]
    assert "Typing :: Typed" in classifiers
    assert not any(text.startswith("License ::") for text in classifiers), "the license is an expression"
