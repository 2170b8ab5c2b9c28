"""A redis-server with the users of a deployment: docker/redis/redis.conf and an ACL file."""

import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from cluster.redis.credentials import CA_FILE, PASSWORD, PASSWORD_FILE, USERNAME
from tests.support.chunk_streams import until

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "docker/redis/redis.conf"
RUN, OTHER_RUN = "demo", "demo2"
HOST = "127.0.0.1"
UNNAMED_HOST = "127.0.0.2"
"""Listened on, but not named in the certificate."""
_REFUSALS = ("NOPERM", "can't run this command", "No permissions", "not allowed")
"""What a script does is refused with an error of the script; DEBUG and MODULE are turned off for everybody."""

Command = tuple[object, ...]


@dataclass
class RedisWithUsers(ABC):
    """Starts and stops a redis-server with users, and connects to it as each of them.

    Attributes:
        folder: passwords, users.acl, data and log.
        settings: what is set beside redis.conf.
    """

    folder: Path
    settings: tuple[str, ...] = ()
    _clients: dict[str, redis.Redis] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.binary = self.find_binary()
        self.add_runs(RUN, OTHER_RUN)
        with socket.create_server((HOST, 0)) as listener:
            self.port = listener.getsockname()[1]
        self.start()

    @staticmethod
    @abstractmethod
    def find_binary() -> str:
        """Return the redis-server, or skip the test."""

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def arguments(self) -> Sequence[str]:
        """Return what the server is started with."""

    @abstractmethod
    def add_runs(self, *runs: str) -> None:
        """Make passwords for runs, and write the ACL file of all runs."""

    @abstractmethod
    def has(self, command: Command) -> bool:
        """Say whether this version of Redis knows a command."""

    @abstractmethod
    def allows(self, user: str, command: Command) -> bool:
        """Say whether a user may do something, by doing it."""

    @property
    def users(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "passwords").iterdir())

    def password(self, user: str) -> str:
        return (self.folder / "passwords" / user).read_text()

    def start(self) -> None:
        """Start the server, or start it again, and wait until it answers."""
        options = ("--aclfile", str(self.folder / "users.acl"), "--bind", HOST, UNNAMED_HOST, "--logfile", "redis.log")
        command = [self.binary, *self.arguments(), *options, *self.settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        until(self._answers, "redis-server answers")

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
            # ACL LOAD ends connections. To wait before a second try would only make refusals slow.
            retry=Retry(NoBackoff(), 1),
        )  # fmt: skip

    def connected(self, user: str) -> redis.Redis:
        """Return a client that all tests share."""
        if user not in self._clients:
            self._clients[user] = self.client(user)
        return self._clients[user]

    def become(self, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give this process a user's credentials, as a deployment does."""
        monkeypatch.delenv(PASSWORD, raising=False)
        monkeypatch.setenv(USERNAME, user)
        monkeypatch.setenv(PASSWORD_FILE, str(self.folder / "passwords" / user))
        self.trust(monkeypatch)

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process know the server's CA, if it has one."""
        monkeypatch.delenv(CA_FILE, raising=False)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10.0)

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        self.process.terminate()
        self.process.wait(10.0)


def accepts(client: redis.Redis, command: Command) -> bool:
    """Return whether a client's user may do something, by doing it."""
    try:
        client.execute_command(*command)
    except redis.ResponseError as error:
        refused = isinstance(error, NoPermissionError) or any(reason in str(error) for reason in _REFUSALS)
        assert refused, f"neither allowed nor refused: {error}"
        return False
    return True
