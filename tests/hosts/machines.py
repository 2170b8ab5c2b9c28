"""Four machines made of namespaces on this one: a desk, where a user sits, and three hosts that it reaches over SSH.

They share the file system, so Python and its packages need not be installed on each, but none of them shares network,
processes, /tmp, /run, /home or /dev/shm with another or with this machine, whose own settings are not touched.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DESK, HEAD, *WORKERS = ("10.0.0.5", "10.0.0.1", "10.0.0.2", "10.0.0.3")
NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
SSHD_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
# The folder lies in /tmp, which everybody may write to.
StrictModes no
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""
PROGRAMS = ("ip", "nsenter", "rsync", "ssh", "ssh-keygen", "unshare", "sshd")


def require_namespaces() -> None:
    """Skip a test where machines cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("without root")
    for name in PROGRAMS:
        programs.require(name)
    tried = subprocess.run(
        [*NAMESPACES, "sh", "-c", "mount -t tmpfs tmpfs /run && ip netns add host"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        pytest.skip(f"without the right to make namespaces: {tried.stderr.strip()}")


@dataclass(frozen=True)
class Machines:
    """What is done at the desk.

    Attributes:
        folder: what desk, hosts and this process share.
        environment: of everything at the desk.
        pid: the desk's first process.
    """

    folder: Path
    environment: dict[str, str]
    pid: int

    def start(self, *command: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command at the desk."""
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", "env", f"--chdir={ROOT}")
        # nsenter passes no signals on, so the command ends when nsenter does.
        return subprocess.Popen(
            [*enter, "setpriv", "--pdeathsig=TERM", *command],
            stdin=subprocess.DEVNULL,
            env=self.environment,
            text=True,
            **options,
        )

    def run(self, *command: str | Path, seconds: float = 60.0, stderr: int = subprocess.STDOUT) -> str:
        """Run a command at the desk and return what it prints."""
        with self.start(*command, stdout=subprocess.PIPE, stderr=stderr) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                pytest.fail(f"not within {seconds:g} s: {command}; it printed:\n{process.communicate()[0]}")
        assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{output}"
        return output

    def reaches(self, host: str, port: int) -> bool:
        """Return whether a port answers at the desk."""
        probe = self.start("bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}", stderr=subprocess.DEVNULL)
        return probe.wait(30.0) == 0

    def on(self, host: str, command: str, seconds: float = 60.0) -> str:
        """Run a command on a host, over SSH."""
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
        return self.run("ssh", "-i", self.folder / "key", *options, f"distill@{host}", command, seconds=seconds)


def _prepare(folder: Path) -> None:
    """Write keys and configuration."""
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=30)
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(folder=folder))
    # Another name of root, with a home of its own: a real user might not be allowed to read this checkout.
    user = "distill:x:0:0::/home/distill:/bin/bash\n"
    (folder / "passwd").write_text(user + Path("/etc/passwd").read_text())
    (folder / "private").mkdir()


@contextmanager
def machines(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Machines]:
    """Make machines, and remove them with all that runs on them.

    Args:
        folder: for keys, and for what is to be handed from machine to machine.
        variables: what the user at the desk has set.
    """
    _prepare(folder)
    environment = {
        "HOME": "/home/distill", "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        **(variables or {}),
    }  # fmt: skip
    shared = {ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with (folder / "machines.log").open("w") as log:
        outer = subprocess.Popen(
            [*NAMESPACES, HERE / "desk.sh", folder, *sorted(shared)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        assert outer.stdin is not None and outer.stdout is not None
        try:
            ready = outer.stdout.readline().strip()
            assert ready == "ready", (folder / "machines.log").read_text()
            pid = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
            yield Machines(folder, environment, pid)
        finally:
            outer.stdin.close()
            try:
                outer.wait(30.0)
            except subprocess.TimeoutExpired:
                outer.kill()
                outer.wait(30.0)
