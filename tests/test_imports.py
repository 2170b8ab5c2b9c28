"""Who may import whom: the contracts of pyproject.toml, and that they would notice a breach."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("distill", "actors", "learner", "cluster")
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_packages_keep_to_their_floors():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    "file, line, broken",
    [
        ("distill/games.py", "import learner.limiter", 1),
        ("distill/games.py", "import prometheus_client", 1),
        ("actors/video.py", "import learner.limiter", 1),
        ("learner/limiter.py", "import redis", 1),
        # By the learner, cluster's lower floors then know its upper ones as well.
        ("learner/limiter.py", "import cluster.workers.placement", 2),
        ("cluster/redis/keys.py", "import cluster.state.folder", 1),
        ("cluster/workers/placement.py", "import cluster.analysis.timing", 1),
    ],
)
def test_a_breach_is_noticed(tmp_path: Path, file: str, line: str, broken: int):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{broken} broken" in done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "cluster.cli",
        "cluster.commands.models",
        "cluster.commands.report",
        "cluster.commands.runs",
        "cluster.commands.scale_actors",
        "cluster.commands.teachers",
        "cluster.models.coordinator",
        "distill.teach_config",
    ],
)
def test_who_only_reads_files_does_not_wait_for_what_takes_seconds_to_import(module: str):
    slow = {"torch", "ray", "onnxruntime"}
    source = f"import sys, {module}; print(*sorted({slow} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
