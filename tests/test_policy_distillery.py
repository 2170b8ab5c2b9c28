"""Another project's package under one of our names, a current folder that is gone: one sentence, nothing imported."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from policy_distillery import PACKAGES, trouble

ROOT = Path(__file__).resolve().parents[1]
INTRUDER = '"""A package of the same name."""\nraise SystemExit("imported")\n'
LOOK = "import sys; sys.path[:0] = sys.argv[1:]; import policy_distillery; policy_distillery.main()"


def start(*path: Path) -> subprocess.CompletedProcess[str]:
    """Start the program with folders in front of the path of modules."""
    command = [sys.executable, "-P", "-c", LOOK, *path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that looks like the place that an installation was put into."""
    folder = tmp_path / "site [1] ä"
    for package in PACKAGES:
        (folder / package).mkdir(parents=True)
        shutil.copy(ROOT / package / "__init__.py", folder / package)
    shutil.copy(ROOT / "policy_distillery.py", folder)
    return folder


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2 and not done.stdout, done
    (line,) = done.stderr.splitlines()
    return line


def distribution(folder: Path, name: str, packages: Sequence[str]) -> None:
    """Write what pip writes about a distribution."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "RECORD").write_text("".join(f"{package}/__init__.py,,\n" for package in packages))


def test_this_installation_is_its_own():
    assert trouble() is None


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_was_overwritten_is_named_with_who_did_it(installed: Path, package: str):
    (installed / package / "__init__.py").write_text(INTRUDER)
    distribution(installed, "policy-distillery", PACKAGES)
    distribution(installed, f"lib-{package}", [package])
    assert refusal(start(installed)) == (
        f"distill: the package {package} in {installed / package} is not this program's but that of lib-{package};"
        " install policy-distillery into an environment of its own, with pipx or uv tool"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_comes_first_on_the_path_is_named(installed: Path, tmp_path: Path, package: str):
    other = tmp_path / "other"
    (other / package).mkdir(parents=True)
    (other / package / "__init__.py").write_text(INTRUDER)
    assert f"the package {package} in {other / package} is not this program's;" in refusal(start(other, installed))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_gone_is_named(installed: Path, package: str):
    # Uninstalling the other project takes this file away, and leaves the rest of the package.
    (installed / package / "__init__.py").unlink()
    assert refusal(start(installed)) == (
        f"distill: the package {package} is missing in {installed}; install policy-distillery again"
    )


def test_a_current_folder_that_was_deleted_is_refused(tmp_path: Path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f'cd "$1" && rmdir "$1" && exec "{sys.executable}" -P "{ROOT / "policy_distillery.py"}" runs'
    done = subprocess.run(["bash", "-c", command, "-", gone], capture_output=True, text=True, timeout=60, check=False)
    assert refusal(done) == (
        "distill: the current folder cannot be used (No such file or directory); go to one that exists, and start again"
    )
