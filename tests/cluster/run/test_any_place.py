"""One run of seconds where everything is unusual at once, and Ray whose workers do not start."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.sandbox import TEACHERS, TINY, new_sandbox, processes

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[3]
NAME = "é [1] (x) \"y\" 'z' $HOME; & 字"
SHADOWED = (
    "queue", "random", "logging", "json", "select", "socket", "redis", "ray", "torch", "numpy", "msgpack", "cluster",
    "actors", "distill", "learner",
)  # fmt: skip
MARK = "open({mark!r}, 'a').write(__name__ + '\\n'); raise ImportError('shadowed')\n"
UV = '"$@"\nexit $?\n'
"""Ray knows `uv run` by the command lines of its parents; the second line keeps the shell there until the end."""


def environment(folder: Path) -> Path:
    """Make a virtual environment that sees this one's packages, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    seen = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    (packages / "these.pth").write_text("".join(f"{path}\n" for path in seen))
    return folder / "bin" / "python"


def test_a_run_in_an_unusual_place_ends_well_and_imports_nothing_from_there():
    with new_sandbox() as sandbox:
        place, temporary = sandbox.path / f"here {NAME}", sandbox.path / f"{NAME} {'t' * 100}"
        mark, root = sandbox.path / "imported", sandbox.path / f"{NAME} {'r' * 150}"
        for folder in (place, temporary, root):
            folder.mkdir()
        for module in SHADOWED:
            (place / f"{module}.py").write_text(MARK.format(mark=str(mark)))
        (place / "run").write_text(UV)
        python = environment(sandbox.path / f"env {NAME}")
        program = [str(python), "-P", "-m", "policy_distillery", "run", *TINY]
        options = ["--updates", "40", "--eval-every", "1000000", "--dashboard", "--root", str(root), "--name", "any"]
        done = subprocess.run(
            ["bash", "-c", 'exec -a uv bash run "$@" <&-', "-", *program, *options],
            cwd=place,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not mark.exists(), mark.read_text()
        assert (root / "any" / "student.safetensors").exists()
        assert not processes(sandbox.path)


BROKEN = """
import sys
if any(argument.endswith("/default_worker.py") for argument in sys.orig_argv):
    raise SystemExit("no licence for this host")
"""
FEW_SECONDS = """
from cluster.ray import private
private.START_SECONDS = 25.0
from policy_distillery import main
main()
"""


def test_a_ray_without_workers_is_given_up_soon_with_the_cause(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    arguments = ["evaluate", str(TEACHERS / "pong.safetensors"), "--episodes", "1", "--lanes", "1"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", FEW_SECONDS, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == (
        "distill evaluate: ray: expected it to start within 25 s;"
        " the last line of Ray's raylet.err is: SystemExit: no licence for this host"
    )
