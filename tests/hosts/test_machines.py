"""The machines that other tests launch Ray on: that they are apart from this one, and gone afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from launch import until
from machines import DESK, HEAD, HERE, ROOT, WORKERS, machines, require_namespaces

pytestmark = pytest.mark.root

HOLD = """
import sys, time
from pathlib import Path
from machines import machines
with machines(Path(sys.argv[1])) as made:
    print(made.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    require_namespaces()
    with TemporaryDirectory(prefix="hosts-") as folder:
        yield Path(folder)


def network() -> str:
    """Return links, addresses, routes and named namespaces of this machine."""
    commands = (["ip", "-brief", "link"], ["ip", "-brief", "address"], ["ip", "route"], ["ip", "netns"])
    return "".join(subprocess.run(c, capture_output=True, text=True, timeout=10, check=True).stdout for c in commands)


def working(folder: Path) -> list[str]:
    """Return the command lines that name a folder, in whatever namespace."""
    lines: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def test_a_host_has_its_own_address_processes_and_folders(folder: Path) -> None:
    before = network()
    with machines(folder) as made:
        assert network() == before, "this machine's own network is left alone"
        for host in (HEAD, *WORKERS):
            until(lambda host=host: made.reaches(host, 22), f"{host} has an SSH server", 30.0)
            assert f"inet {host}/24" in made.on(host, "ip address show eth0")
            assert f"default via {DESK}" in made.on(host, "ip route")
            # What `ray stop` could end.
            assert set(made.on(host, "ps -e -o comm=").split()) <= {"bash", "sshd", "ps"}
            assert made.on(host, "ls /tmp /home /dev/shm").split().count("theirs") == 0
            made.on(host, "touch /tmp/theirs /dev/shm/theirs ~/theirs")
        assert not [path for path in ("/tmp/theirs", "/dev/shm/theirs", "/home/distill/theirs") if Path(path).exists()]
        assert working(folder)
    assert network() == before
    assert working(folder) == []
    assert list((folder / "private").iterdir()) == []


def test_they_are_gone_when_whoever_made_them_is_killed(folder: Path) -> None:
    before = network()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as maker:
        assert maker.stdout is not None
        desk = int(maker.stdout.readline())
        assert Path(f"/proc/{desk}").exists()
        os.kill(maker.pid, signal.SIGKILL)
    until(lambda: working(folder) == [], f"all processes ended: {working(folder)}", 30.0)
    assert network() == before
