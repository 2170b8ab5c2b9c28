"""A Ray instance of this run's own: guarded by a token, no files outside a private folder, gone when the run is."""

import functools
import logging
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

import ray
from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue] - Ray's C++ part has no types

from cluster.private_folder import private_folder
from cluster.ray.connection import connect, last_words
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
    "RAY_AUTH_MODE": "token",
}


@functools.cache
def _token() -> str:
    """Return this process's token, which Ray reads once; without it Ray would write one into the user's HOME."""
    return secrets.token_hex(32)


@contextmanager
def private_ray(cores: int) -> Generator[None]:
    """Start Ray on this machine alone, whatever other Ray the user runs, and stop it at the end.

    Ray listens on all of this machine's addresses, which it does not let one change; the token keeps others out.

    Raises:
        RunError: if Ray does not start.
    """
    settings = {"RAY_AUTH_TOKEN": _token(), **_SETTINGS}
    previous = {name: os.environ.get(name) for name in (*settings, "RAY_ADDRESS")}
    os.environ.update(settings)
    os.environ.pop("RAY_ADDRESS", None)
    try:
        with _host(cores) as address:
            _connect(address)
            try:
                yield
            finally:
                ray.shutdown()
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _connect(address: str) -> None:
    try:
        # Ray's C++ part has read its settings when it was imported, before there was a token.
        Config.initialize("")
        connect(address)
    except Exception as error:
        raise RunError(f"ray: cannot connect to its daemons on this machine: {error}") from error


@contextmanager
def _host(cores: int) -> Generator[str]:
    """Start the process that holds Ray, and yield Ray's address."""
    folder = private_folder(len(_LONGEST_SOCKET))
    try:
        with tempfile.TemporaryFile(dir=folder) as errors:
            host = subprocess.Popen(
                [sys.executable, "-m", "cluster.ray.host", str(cores), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                assert host.stdin is not None and host.stdout is not None, "both are pipes"
                started, _, _ = select.select([host.stdout], [], [], START_SECONDS)
                address = host.stdout.readline().decode().strip() if started else ""
                if not address:
                    errors.seek(0)
                    said = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
                    # Ray waits for its first workers itself.
                    found = said[-1] if said else last_words(folder / RAYS_OWN / "session_latest" / "logs")
                    raise RunError(f"ray: expected it to start within {START_SECONDS:.0f} s; {found}")
                yield address
            finally:
                _end(host)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(host: subprocess.Popen[bytes]) -> None:
    """Let the host stop Ray."""
    for pipe in (host.stdin, host.stdout):
        if pipe is not None:
            pipe.close()
    try:
        host.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("ray: it does not stop within %.0f s and is killed", STOP_SECONDS)
        host.kill()
        host.wait(STOP_SECONDS)
