"""Holds a run's own Ray: a process in a session of its own, which stops Ray when its standard input ends.

Ray's daemons are its children, so a signal to the run's process group does not reach them, and a run that is killed
leaves neither daemons nor files behind. Use: `python -m cluster.ray.host CORES FOLDER`; it prints Ray's address.
"""

import logging
import os
import sys
from pathlib import Path

from cluster.processes.private_folder import remove_private_folder
from cluster.ray.typed_ray import typed_ray

OBJECT_STORE_BYTES = 256 * 2**20
"""Only model files pass through Ray's object store; chunks go through the buffer service."""
SHARED_MEMORY = "/dev/shm"
RAYS_OWN = "r"
"""Ray's part of the private folder. Ray lets everybody into it, so it must not be the folder itself."""


def main() -> None:
    """Start Ray, say where it is, and stop it when the run has ended."""
    cores, folder = int(sys.argv[1]), Path(sys.argv[2])
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
        sys.stdout.write(f"{typed_ray.get_runtime_context().gcs_address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        typed_ray.shutdown()
        remove_private_folder(folder)


if __name__ == "__main__":
    main()
