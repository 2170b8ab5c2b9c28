"""Holds a run's own Ray: a process in a session of its own, which stops Ray when its standard input ends.

Ray's daemons are its children, so a signal to the run's process group does not reach them, and a run that is killed
leaves neither daemons nor files behind. Use: `python -m cluster.ray.host CORES DIRECTORY`; it prints Ray's address.
"""

import logging
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import ray

OBJECT_STORE_BYTES = 256 * 2**20
"""Only model files pass through Ray's object store; chunks go through the buffer service."""


FOLDER_PREFIX = "distill-ray-"
_FOLDER = re.compile(FOLDER_PREFIX + r"\w{8}")


def remove_folder(directory: Path) -> None:
    """Remove a folder that was made for a run's Ray; any other one is left alone, whoever has named it."""
    try:
        found = directory.lstat()
    except OSError:
        return
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _FOLDER.fullmatch(directory.name):
        shutil.rmtree(directory, ignore_errors=True)


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
        remove_folder(Path(directory))


if __name__ == "__main__":
    main()
