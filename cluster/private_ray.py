"""A Ray instance of this run's own: no network beyond loopback, no files outside a private folder, gone at the end."""

import functools
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

import ray

from distill.errors import RunError

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 256 * 2**20
"""Only model files pass through Ray's object store; chunks go through the buffer service."""


_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's workers would run at niceness 15 and starve beside anything else on the machine.
    "RAY_worker_niceness": "0",
}


@functools.cache
def _token() -> str:
    """Return this process's token, which Ray reads once; without it Ray would write one into the user's HOME."""
    return secrets.token_hex(32)


@contextmanager
def private_ray(cores: int) -> Generator[None]:
    """Start Ray on this machine alone, whatever other Ray the user runs, and stop it at the end.

    Raises:
        RunError: if Ray does not start.
    """
    # Ray puts unix sockets below this folder, and their paths must stay under 107 bytes.
    directory = tempfile.mkdtemp(prefix="distill-ray-", dir="/tmp")
    settings = {"RAY_AUTH_TOKEN": _token(), **_SETTINGS}
    # Unset, the mode becomes `token` in ray.init, which is the only place that also tells Ray's C++ part of it.
    unset = ("RAY_ADDRESS", "RAY_AUTH_MODE")
    previous = {name: os.environ.get(name) for name in (*settings, *unset)}
    os.environ.update(settings)
    for name in unset:
        os.environ.pop(name, None)
    try:
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
                _temp_dir=directory,
            )
        except Exception as error:
            raise RunError(f"ray: cannot start on this machine: {error}") from error
        yield
    finally:
        ray.shutdown()
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(directory, ignore_errors=True)
