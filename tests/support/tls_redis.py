"""A redis-server as a deployment has it: TLS, and the ACL file of docker/make-secrets.sh. It needs Debian's."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from cluster.redis.credentials import CA_FILE
from tests.support import programs
from tests.support.users_redis import CONFIGURATION, HOST, ROOT, Command, RedisWithUsers, accepts


def make_secrets(folder: Path, *runs: str) -> None:
    """Run docker/make-secrets.sh."""
    programs.require("openssl")
    subprocess.run(
        [ROOT / "docker/make-secrets.sh", folder, f"localhost,{HOST}", *runs],
        env=os.environ | {"PYTHON": sys.executable},
        cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip


class TlsRedis(RedisWithUsers):
    """Debian's redis-server with TLS and users; its folder has the certificates as well."""

    @staticmethod
    def find_binary() -> str:
        return programs.require(programs.DEBIAN_REDIS, "TLS")

    @property
    def url(self) -> str:
        return f"rediss://{HOST}:{self.port}"

    def arguments(self) -> Sequence[str]:
        certificate = ("--tls-cert-file", str(self.folder / "redis.crt"))
        key = ("--tls-key-file", str(self.folder / "redis.key"))
        return (str(CONFIGURATION), *certificate, *key, "--tls-port", str(self.port))

    def add_runs(self, *runs: str) -> None:
        make_secrets(self.folder, *runs)

    def has(self, command: Command) -> bool:
        return True

    def allows(self, user: str, command: Command) -> bool:
        return accepts(self.connected(user), command)

    def client(self, user: str) -> redis.Redis:
        client = super().client(user)
        pool = redis.ConnectionPool(
            redis.SSLConnection, **client.get_connection_kwargs(), ssl_ca_certs=str(self.folder / "ca.crt")
        )
        return redis.Redis.from_pool(pool)

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CA_FILE, str(self.folder / "ca.crt"))
