"""A folder for sockets: only its owner can enter it, and its path is short and plain enough for all who are told it."""

import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from distill.errors import RunError

SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket on Linux."""
FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")
_PREFIX = "distill-"
_NAME = re.compile(_PREFIX + r"\w{8}")
_RANDOM_BYTES = 8
"""What `tempfile` appends."""


def private_folder(room: int) -> Path:
    """Make a folder with mode 700 in the temporary folder, or in the first other one that serves.

    Args:
        room: bytes of the longest socket path in it, counted from the folder's own path.

    Raises:
        RunError: if none serves.
    """
    longest = longest_base(room)
    tried: list[str] = []
    for base in _bases():
        if base in tried:
            continue
        tried.append(base)
        # Paths of sockets are written into URLs and into command lines that others take apart.
        if len(os.fsencode(base)) <= longest and shlex.quote(base) == base:
            folder = _made(base)
            if folder is not None:
                return folder
    raise RunError(
        f"temporary folder: expected one that can be written to, with a path of at most {longest} bytes of letters,"
        f" digits and -._/, found none of {', '.join(tried)}; set TMPDIR to such a folder"
    )


def is_private_folder(folder: Path) -> bool:
    """Return whether `private_folder` can have made a folder; whoever is told one by a file must not trust it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700
    return private and _NAME.fullmatch(folder.name) is not None


def remove_private_folder(folder: Path) -> None:
    """Remove a folder that `private_folder` has made, and all in it; any other one is left alone."""
    if is_private_folder(folder):
        shutil.rmtree(folder, ignore_errors=True)


def longest_base(room: int) -> int:
    """Return how many bytes the path of a temporary folder may have for sockets that need so much room."""
    return SOCKET_PATH_BYTES - len(f"/{_PREFIX}") - _RANDOM_BYTES - room


def _bases() -> Iterator[str]:
    try:
        yield tempfile.gettempdir()
    except FileNotFoundError:
        # Neither TMPDIR nor what is usual on this system can be written to.
        yield os.environ.get("TMPDIR", "TMPDIR")
    yield from FALLBACKS


def _made(base: str) -> Path | None:
    """Return a new folder in a base, or None if nothing can be written there."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    except OSError:
        return None
    try:
        probe = folder / "probe"
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError:
        # A full disk still makes folders.
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder
