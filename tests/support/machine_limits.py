"""Limits that only root can set on a process or a folder: memory by a control group, disk by a small file system."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup/memory")
"""Of version 1."""
_BYTES = 2**12
"""What a process may still take beside what it has: less than any that works does without."""


def can_limit() -> bool:
    """Return whether this process may set these limits."""
    return os.geteuid() == 0 and os.access(_GROUPS / "cgroup.procs", os.W_OK)


@contextlib.contextmanager
def no_more_memory(pid: int) -> Iterator[None]:
    """Let a process have what it has and next to nothing more: the kernel kills it when it wants that."""
    group = _GROUPS / f"distill-test-{pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(_BYTES))
        # What it has stays with the group where it got it.
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with contextlib.suppress(OSError):
            (_GROUPS / "cgroup.procs").write_text(str(pid))
        with contextlib.suppress(OSError):
            group.rmdir()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Put a file system of that size into a folder, which is made."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)
