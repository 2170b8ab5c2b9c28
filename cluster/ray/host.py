"""Holds a run's own Ray: a process in a session of its own, which stops Ray when its standard input ends.

Ray's daemons are its children, so a signal to the run's process group does not reach them, and a run that is killed
leaves neither daemons nor files behind. Use: `python -m cluster.ray.host CORES DIRECTORY`; it prints Ray's address.
"""

import logging
import shutil
import sys

import ray

OBJECT_STORE_BYTES = 256 * 2**20
"""Only model files pass through Ray's object store; chunks go through the buffer service."""


def main() -> None:
    """Start Ray, say where it is, and stop it when the run has ended."""
    cores, directory = int(sys.argv[1]), sys.argv[2]
    try:
        ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=directory,
        )
        sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        ray.shutdown()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
