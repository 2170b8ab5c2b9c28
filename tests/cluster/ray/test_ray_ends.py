"""A daemon of Ray ends under a run: one sentence of ours, soon, and nothing of a run's own Ray stays."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from cluster.ray.daemons import Daemons
from tests.support.sandbox import UNTRAINED, checkpointed, new_sandbox, processes

OPTIONS = ("--games", "breakout", "--updates", "1000000", *UNTRAINED, "--checkpoint-seconds", "0.5")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("daemon", ["raylet", "gcs_server"])
def test_a_killed_daemon_of_the_private_ray_ends_the_run_with_a_sentence(daemon: str) -> None:
    with new_sandbox() as sandbox:
        run = sandbox.train("run", *OPTIONS)
        run.until(lambda: checkpointed(sandbox.run("run")) > 0, "a checkpoint")
        (pid,) = [pid for pid, command in processes(sandbox.path).items() if command.split()[0].endswith(f"/{daemon}")]
        os.kill(pid, signal.SIGKILL)
        assert run.wait(12.0) == 2, run.output
        last = run.output.strip().splitlines()[-1]
        kept = checkpointed(sandbox.run("run"))
        assert last == (
            f"distill run: ray: its {daemon} was ended by SIGKILL, and with it all actors and learners that ran there;"
            f" kept is the checkpoint of update {kept:,}; go on with: distill run --resume {sandbox.run('run')}"
        )
        assert "Traceback" not in run.output and "(raylet)" not in run.output
        assert sandbox.leftovers() == []


@pytest.fixture
def sockets(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as raylet, socket.create_server(("127.0.0.1", 0)) as gcs:
        raylet.bind(str(tmp_path / "raylet"))
        raylet.listen()
        yield raylet, gcs


def test_a_clusters_raylet_that_ends_is_noticed_at_once(
    sockets: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.ray.daemons.LOOK_SECONDS", 0.0)
    raylet, gcs = sockets
    daemons = Daemons(tmp_path / "raylet", f"127.0.0.1:{gcs.getsockname()[1]}")
    assert daemons.trouble() == ""
    raylet.close()
    assert daemons.trouble() == "the raylet of this machine has ended"


def test_a_clusters_gcs_server_may_be_started_again(
    sockets: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.ray.daemons.LOOK_SECONDS", 0.0)
    _, gcs = sockets
    address = f"127.0.0.1:{gcs.getsockname()[1]}"
    patient, impatient = (Daemons(tmp_path / "raylet", address, seconds) for seconds in (60.0, 0.0))
    gcs.close()
    assert patient.trouble() == ""
    time.sleep(0.01)
    assert impatient.trouble() == f"nobody has answered at {address}, where gcs_server was, for 0 s"
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        assert patient.trouble() == ""
