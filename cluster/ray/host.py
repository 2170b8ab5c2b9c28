"""Holds a run's own Ray: a process in a session of its own, which stops Ray when its standard input ends.

Ray's daemons are its children, so a signal to the run's process group does not reach them, and a run that is killed
leaves neither daemons nor files behind. Use: `python -m cluster.ray.host CORES FOLDER`; it prints Ray's address. When a
daemon without which there is no Ray has ended, it prints a second line, which says so, and ends the others.
"""

import logging
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import ray._private.node
import ray._private.worker

from cluster.processes.orphans import adopt_orphans, kill_children
from cluster.processes.private_folder import remove_private_folder
from cluster.ray.connection import keep_output_ours
from cluster.ray.typed_ray import typed_ray

OBJECT_STORE_BYTES = 256 * 2**20
"""Only model files pass through Ray's object store; chunks go through the buffer service."""
SHARED_MEMORY = "/dev/shm"
LOOK_SECONDS = 0.25
KILL_SECONDS = 5.0
VITAL = ("gcs_server", "raylet")
"""Ray's names of the daemons without which it ends by itself: after a quarter of a minute, or a whole one."""
USELESS = ("start_monitor", "start_log_monitor", "start_api_server")
"""Starters of the daemons that look for more nodes, read logs for a driver, and send usage statistics.

`ray start` can leave out two of them, `ray.init` none. They take 280 MB, and a second or two of start and of end.
"""
RAYS_OWN = "r"
"""Ray's part of the private folder. Ray lets everybody into it, so it must not be the folder itself."""


def main() -> None:
    """Start Ray, say where it is, and stop it when the run or one of the daemons has ended."""
    cores, folder = int(sys.argv[1]), Path(sys.argv[2])
    adopt_orphans()
    keep_output_ours()
    for starter in USELESS:
        setattr(ray._private.node.Node, starter, _start_nothing)  # pyright: ignore[reportPrivateUsage]
    try:
        typed_ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Ray looks at its size, not at whether it may be written to.
            _plasma_directory=None if os.access(SHARED_MEMORY, os.W_OK) else str(folder),
            _temp_dir=str(folder / RAYS_OWN),
        )
        _tell(typed_ray.get_runtime_context().gcs_address)
        ended = _watch()
        if ended:
            _tell(ended)
            # In an orderly shutdown Ray would wait for the one that has ended, and leave its children to themselves.
            kill_children(KILL_SECONDS)
            remove_private_folder(folder)
            os._exit(1)
    finally:
        typed_ray.shutdown()
        # Workers end by themselves when their raylet has; a busy one may still be there a moment later.
        kill_children(KILL_SECONDS)
        remove_private_folder(folder)


def _start_nothing(*_: object, **__: object) -> None: ...


def _watch() -> str:
    """Wait until standard input ends, or a vital daemon, and return which one and how; empty for the former."""
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        for name, process in _node().dead_processes():
            if name in VITAL:
                return f"its {name} {_how(process.poll())}"
    return ""


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with code {code}"


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _node() -> Any:
    """Return what Ray knows of its daemons, which it tells in no other way."""
    return ray._private.worker._global_node  # pyright: ignore[reportPrivateUsage]


if __name__ == "__main__":
    main()
