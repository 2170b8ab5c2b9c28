"""A redis-server as a deployment has it: docker/redis/redis.conf, TLS, and the ACL file of docker/make-secrets.sh."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from buffer_support import until

from cluster.redis.credentials import CA_FILE, PASSWORD, PASSWORD_FILE, USERNAME

ROOT = Path(__file__).resolve().parents[2]
BINARY = "/usr/bin/redis-server"
RUN, OTHER_RUN = "demo", "demo2"
HOST = "127.0.0.1"
UNNAMED_HOST = "127.0.0.2"
"""Listened on, but not named in the certificate."""


def make_secrets(folder: Path, *runs: str) -> None:
    """Run docker/make-secrets.sh."""
    subprocess.run(
        [ROOT / "docker/make-secrets.sh", folder, f"localhost,{HOST}", *runs],
        env=os.environ | {"PYTHON": sys.executable},
        cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip


@dataclass
class TlsRedis:
    """Debian's redis-server with TLS and users.

    Attributes:
        folder: certificates, passwords, users.acl, data and log.
        settings: what is set beside redis.conf.
    """

    folder: Path
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not os.access(BINARY, os.X_OK):
            pytest.skip(f"{BINARY} is not installed (apt-get install redis-server)")
        make_secrets(self.folder, RUN, OTHER_RUN)
        with socket.create_server((HOST, 0)) as listener:
            self.port = listener.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"rediss://{HOST}:{self.port}"

    @property
    def users(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "passwords").iterdir())

    def password(self, user: str) -> str:
        return (self.folder / "passwords" / user).read_text()

    def start(self) -> None:
        """Start the server, or start it again, and wait until it answers."""
        paths = {"tls-cert-file": "redis.crt", "tls-key-file": "redis.key", "aclfile": "users.acl"}
        own = [part for name, path in paths.items() for part in (f"--{name}", str(self.folder / path))]
        own += ["--tls-port", str(self.port), "--bind", HOST, UNNAMED_HOST, "--logfile", "redis.log"]
        command = [BINARY, str(ROOT / "docker/redis/redis.conf"), *own, *self.settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        until(self._answers, "redis-server answers over TLS")

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()[-2000:]
        try:
            with self.client("operator") as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self, user: str) -> redis.Redis:
        """Make a client that does not depend on the code under test."""
        return redis.Redis(
            host=HOST, port=self.port, username=user, password=self.password(user), protocol=2, socket_timeout=10.0,
            ssl=True, ssl_ca_certs=str(self.folder / "ca.crt"),
        )  # fmt: skip

    def become(self, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give this process a user's credentials, as a deployment does."""
        monkeypatch.delenv(PASSWORD, raising=False)
        monkeypatch.setenv(USERNAME, user)
        monkeypatch.setenv(PASSWORD_FILE, str(self.folder / "passwords" / user))
        monkeypatch.setenv(CA_FILE, str(self.folder / "ca.crt"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10.0)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10.0)
