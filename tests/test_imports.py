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


SLOW = {"torch", "ray", "onnxruntime", "scipy", "pandas", "aiohttp", "prometheus_client"}
"""What takes from a tenth of a second to several to import."""


def slow_imports(source: str, *arguments: str | Path) -> tuple[int, set[str]]:
    """Return the exit code of a program, and what it has imported of `SLOW` and Redis' client."""
    source = f"""
import sys
try:
    {source}
except SystemExit as error:
    code = error.code
else:
    code = 0
print("imported", *sorted({SLOW | {"redis"}} & sys.modules.keys()), sep="\\n", file=sys.stderr)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    _, _, found = done.stderr.partition("imported\n")
    return done.returncode, set(found.split())


@pytest.mark.parametrize("module", ["cluster.commands.scale_actors", "cluster.models.coordinator"])
def test_who_only_reads_files_does_not_wait_for_what_takes_seconds_to_import(module: str):
    assert slow_imports(f"import {module}") in ((0, set()), (0, {"redis"}))


@pytest.mark.parametrize(
    "command, redis",
    [
        ("--help", False),
        ("runs --root tests/golden/0.1.0", False),
        ("models RUN", True),
        ("teachers tests", False),
        ("report RUN --out OUT", False),
        ("report --help", False),
        ("run --help", False),
        ("teach --help", False),
        ("online --help", False),
        ("run --nonsense", False),
        ("experiment --help", False),
        ("experiment --render --out OUT", False),
        ("data nonsense", False),
        ("record --help", False),
    ],
)
def test_a_command_that_only_reads_files_does_not_wait_for_what_takes_long_to_import(
    tmp_path: Path, command: str, redis: bool
):
    words = {"RUN": ROOT / "tests/golden/0.1.0/run", "OUT": tmp_path / "report.html"}
    arguments = [words.get(word, word) for word in command.split()]
    code, imported = slow_imports("from policy_distillery import main; main()", *arguments)
    assert code == (2 if "nonsense" in command else 0)
    assert imported <= ({"redis"} if redis else set())


def test_loading_a_model_does_not_import_pytorchs_compiler():
    # Every player, evaluator and viewer loads one, and that import takes a second.
    source = """
import sys
from pathlib import Path
from actors.policy import warm_policy
from distill.inference import load_q_function
warm_policy(load_q_function(Path("teachers/pong.safetensors"))[0], "pong")
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=True, timeout=60)
