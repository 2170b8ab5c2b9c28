"""A Ray instance of this run's own: guarded by a token, no files outside a private folder, gone when the run is."""

import functools
import logging
import os
import secrets
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol, cast

from ray._raylet import (
    Config,  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType] - Ray's C++ part has no types
)

from cluster.processes.child import Child
from cluster.processes.private_folder import private_folder, remove_private_folder
from cluster.ray.connection import connect, disconnect, last_words
from cluster.ray.host import RAYS_OWN
from distill.errors import RunError

log = logging.getLogger(__name__)

START_SECONDS = 120.0
STOP_SECONDS = 30.0
_LONGEST_SOCKET = f"/{RAYS_OWN}/session_2026-11-26_23-59-59_999999_4194304/sockets/plasma_store"
"""Of those that Ray makes in the private folder; the last number is a process id, which Linux ends there."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's workers would run at niceness 15 and starve beside anything else on the machine.
    "RAY_worker_niceness": "0",
    # Nobody asks this Ray for its tasks, of which there are several a second: their history grew by 70 MB an hour.
    "RAY_task_events_report_interval_ms": "0",
    # Nor for its own metrics, and counts of its handlers' calls.
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    "RAY_AUTH_MODE": "token",
}


class _Config(Protocol):
    def initialize(self, settings: str, /) -> None: ...


@functools.cache
def _token() -> str:
    """Return this process's token, which Ray reads once; without it Ray would write one into the user's HOME."""
    return secrets.token_hex(32)


@contextmanager
def private_ray(cores: int) -> Generator[Callable[[], str]]:
    """Start Ray on this machine alone, whatever other Ray the user runs, and stop it at the end.

    Ray listens on all of this machine's addresses, which it does not let one change; the token keeps others out.

    Yields:
        A function that returns what has become of Ray, empty as long as it is there.

    Raises:
        RunError: if Ray does not start.
    """
    settings = {"RAY_AUTH_TOKEN": _token(), **_SETTINGS}
    previous = {name: os.environ.get(name) for name in (*settings, "RAY_ADDRESS")}
    os.environ.update(settings)
    os.environ.pop("RAY_ADDRESS", None)
    try:
        with _host(cores) as (address, trouble):
            _connect(address)
            try:
                yield trouble
            finally:
                disconnect(trouble())
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _connect(address: str) -> None:
    try:
        # Ray's C++ part has read its settings when it was imported, before there was a token.
        cast(_Config, Config).initialize("")
        connect(address)
    except Exception as error:
        raise RunError(f"ray: cannot connect to its daemons on this machine: {error}") from error


@contextmanager
def _host(cores: int) -> Generator[tuple[str, Callable[[], str]]]:
    """Start the process that holds Ray, and yield Ray's address, and what tells of its end."""
    folder = private_folder(len(_LONGEST_SOCKET))
    try:
        host = Child([sys.executable, "-m", "cluster.ray.host", str(cores), str(folder)], folder=folder, held=True)
        try:
            address = host.line(START_SECONDS)
            if not address:
                said = [line for line in host.complaints().splitlines() if line.strip()]
                # Ray waits for its first workers itself.
                found = said[-1] if said else last_words(folder / RAYS_OWN / "session_latest" / "logs")
                raise RunError(f"ray: expected it to start within {START_SECONDS:.0f} s; {found}")
            yield address, _Watch(host).trouble
        finally:
            if not host.end(STOP_SECONDS):
                log.warning("ray: it does not stop within %.0f s and is killed", STOP_SECONDS)
    finally:
        remove_private_folder(folder)


class _Watch:
    """Listens to the process that holds a run's own Ray."""

    def __init__(self, host: Child) -> None:
        self._host = host
        self._trouble = ""

    def trouble(self) -> str:
        """Return what that process has said of a daemon's end, or that it has ended itself; empty before."""
        if not self._trouble:
            said = self._host.line(0.0)
            self._trouble = said or (
                "" if self._host.code() is None else "the process that holds its daemons has ended"
            )
        return self._trouble
