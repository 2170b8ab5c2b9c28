"""One private server per directory: a lock that lives as long as run or server do, and the end of a server left behind.

The server inherits the lock's file descriptor. So the lock is free only when both the run and its server are gone. Who
holds it stands in a file of its own, which is replaced whole: a file that is locked cannot be, and whoever reads it
while it is written would find half a record, or none.
"""

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.processes.private_folder import is_private_folder
from distill.errors import RunError
from distill.files import write_atomically

_LOCK = "server.lock"
OWNER = "server.json"
"""Who uses the directory, an `Ownership` as JSON; there while a run does, and after one that was killed."""
SOCKET = "redis.sock"
"""The server's socket, in its private directory."""
_ENDING_SECONDS = 15.0


@dataclass(frozen=True)
class Ownership:
    """Who uses a directory. A process is known by its id and its start time, since ids are used again.

    Attributes:
        owner: process id of the run.
        owner_started: its start time in the kernel's ticks.
        server: process id of its redis-server.
        server_started: its start time.
        sockets: the private directory of the server's socket.
    """

    owner: int
    owner_started: int
    server: int
    server_started: int
    sockets: str


def running_server(directory: Path) -> str | None:
    """Return the URL of the redis-server that a living run has in a directory, or None."""
    found = _recorded(directory)
    # Where the system does not say whether a run lives, nobody should wait for its server.
    if found is None or not found.owner_started or not _lives(found):
        return None
    return f"unix://{Path(found.sockets) / SOCKET}"


def claim(directory: Path) -> int:
    """Lock a directory, ending a redis-server that a dead run has left there; return the lock's file descriptor.

    Raises:
        RunError: if a living run uses the directory, or this user may not write into it.
    """
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunError(f"{directory / _LOCK}: cannot be written: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _ENDING_SECONDS
        while not _try_lock(lock):
            found = _recorded(directory)
            if found is None:
                raise RunError(f"{directory}: expected no other run here, found one that is starting; stop it first")
            if _lives(found):
                raise RunError(
                    f"{directory}: expected no other run here, found process {found.owner} and its redis-server"
                    f" {found.server}; stop it first"
                )
            _end_server(found)
            if time.monotonic() > deadline:
                raise RunError(
                    f"{directory}: redis-server {found.server} of a run that has ended does not end within"
                    f" {_ENDING_SECONDS:g} s; end it by hand"
                )
            time.sleep(0.05)
        left = _recorded(directory)
        # In a copy of a living run's folder the record speaks of that run, which needs its sockets.
        if left is not None and not _lives(left):
            remove_sockets(Path(left.sockets))
        (directory / OWNER).unlink(missing_ok=True)
    except BaseException:
        os.close(lock)
        raise
    return lock


def record(directory: Path, server: int, sockets: Path) -> None:
    """Write down who uses a directory that this process has claimed."""
    owner = Ownership(os.getpid(), _started(os.getpid()), server, _started(server), str(sockets))
    write_atomically(directory / OWNER, json.dumps(asdict(owner)).encode())


def release(directory: Path, lock: int) -> None:
    """Give a directory back; the server must have ended."""
    (directory / OWNER).unlink(missing_ok=True)
    os.close(lock)


def remove_sockets(directory: Path) -> None:
    """Remove a server's private folder with its socket; any other one, as a record may name, is left alone."""
    if not is_private_folder(directory):
        return
    # It may hold what is not ours.
    with suppress(OSError):
        if (directory / SOCKET).is_socket():
            (directory / SOCKET).unlink()
        directory.rmdir()


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recorded(directory: Path) -> Ownership | None:
    try:
        found = Ownership(**json.loads((directory / OWNER).read_bytes()))
    except (OSError, RecursionError, ValueError, TypeError):
        return None
    numbers = (found.owner, found.owner_started, found.server, found.server_started)
    known = all(type(number) is int for number in numbers) and type(found.sockets) is str
    return found if known else None


def _lives(found: Ownership) -> bool:
    """Return whether the run that a record names is running; yes where the system does not say."""
    return _started(found.owner) == found.owner_started


def _started(process: int) -> int:
    """Return when a process was started, 0 if there is none or the system does not say."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name, in parentheses, may itself hold spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def _end_server(found: Ownership) -> None:
    """Ask a dead run's server to end, if the process is surely that one."""
    try:
        handle = os.pidfd_open(found.server)
    except OSError:
        return
    try:
        # The handle stays with this process even if its id is used again after the check.
        if found.server_started and _started(found.server) == found.server_started:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    finally:
        os.close(handle)
