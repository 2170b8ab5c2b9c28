"""Writes files: whole or not at all, where they are told, with the rights that they had or that the umask leaves.

A crash at any moment leaves either the old content or the new one. A link stays a link: the file that it names is
replaced. A device, a pipe or an open descriptor (`/dev/stdout`) is written to as it is.
"""

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from distill.errors import ConfigError

TEMPORARY = ".distill-*.tmp"
"""What unfinished files are named; short, so that they fit beside a file with the longest possible name."""
_OWN_DESCRIPTORS = re.compile(r"/proc/(\d+)/fd|/dev/fd")
_MOST_LINKS = 40


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside what `path` names, sync it, and rename it; or to the device that it is.

    A file that was there keeps its mode, and its owner where this user may give files away; a new one gets what the
    umask leaves.

    Raises:
        OSError: if the file cannot be written; the old content is then untouched.
    """
    descriptor = _open_as_it_is(path)
    if descriptor is None:
        _replace(Path(os.path.realpath(path)), data)
        return
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def require_writable(
    option: str, path: Path | None, *, ours: Callable[[Path], bool] | None = None, kind: str = ""
) -> None:
    """Check before the work begins that `write_atomically` can write, and would replace nothing of the user's.

    Args:
        option: that named the path.
        path: to be written; nothing is checked without one.
        ours: whether an existing file that is not empty was written by this program, and so may be replaced; without
            it, any file may.
        kind: what such a file is, as in "expected a report to replace".

    Raises:
        ConfigError: if it cannot be written, or is somebody else's.
    """
    if path is None:
        return
    try:
        if _is_stream(path):
            return
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise ConfigError(f"{option}: {target.parent} is no folder; make it first")
        descriptor, temporary = _make_temporary(target.parent, 0o600)
        os.close(descriptor)
        temporary.unlink()
        if target.exists():
            _require_open_to_us(target)
            if ours is not None and target.stat().st_size and not ours(target):
                raise ConfigError(
                    f"{option}: {path} exists: expected {kind} to replace, found something else, which is left alone;"
                    f" choose another file, or remove it first"
                )
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be written: {error.strerror}; choose another file") from error


def begins_with(path: Path, *marks: bytes) -> bool:
    """Return whether the beginning of a file holds all of these marks."""
    with path.open("rb") as file:
        head = file.read(4096)
    return all(mark in head for mark in marks)


def remove_leftovers(folder: Path) -> None:
    """Remove what `write_atomically` had not finished in a folder when its process was killed; nobody may write now."""
    for leftover in folder.glob(TEMPORARY):
        if leftover.is_file() and not leftover.is_symlink():
            leftover.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Return whether a path names something that is written to as it is; raises OSError where that cannot work."""
    number = _descriptor(path)
    if number is not None:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise PermissionError(13, "it is open for reading only", str(path))
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        # A name that is too long, or a folder on the way that is a file, is an error of its own.
        return False
    if stat.S_ISREG(mode):
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "it is a folder", str(path))
    if stat.S_ISSOCK(mode):
        raise OSError(6, "it is a socket", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(13, os.strerror(13), str(path))
    return True


def _open_as_it_is(path: Path) -> int | None:
    """Return a descriptor of the device, pipe or open file that a path names, None if it names a file or nothing."""
    if not _is_stream(path):
        return None
    number = _descriptor(path)
    # Opened anew, a file behind a descriptor would be written from its beginning, over what was printed before.
    return os.dup(number) if number is not None else os.open(path, os.O_WRONLY)


def _descriptor(path: Path) -> int | None:
    """Return the number of this process's descriptor that a path names, as /dev/stdout does, or None."""
    for _ in range(_MOST_LINKS):
        match = _OWN_DESCRIPTORS.fullmatch(os.path.realpath(path.parent))
        if match is not None and path.name.isdecimal() and match[1] in (None, str(os.getpid())):
            return int(path.name)
        try:
            path = path.parent / path.readlink()
        except OSError:
            return None
    return None


def _replace(target: Path, data: bytes) -> None:
    before = target.stat() if target.exists() else None
    if before is not None:
        # What may not be written must not be replaced either, though its folder would allow it.
        _require_open_to_us(target)
    descriptor, temporary = _make_temporary(target.parent, 0o666 if before is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before is not None:
                _hand_over(descriptor, before)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    # Not every folder that may be written to may be read, and not every file system knows how to sync one.
    with contextlib.suppress(OSError):
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _require_open_to_us(path: Path) -> None:
    """Raise the OSError that says why a file may not be written to."""
    os.close(os.open(path, os.O_WRONLY))


def _make_temporary(folder: Path, mode: int) -> tuple[int, Path]:
    """Make a file that was not there, with the mode that the umask leaves of `mode`; return its descriptor and path."""
    path = folder / TEMPORARY.replace("*", secrets.token_hex(8))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), path


def _hand_over(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the owner and mode of the one that it replaces, as far as this user may."""
    mode = stat.S_IMODE(before.st_mode)
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except OSError:
            try:
                os.fchown(descriptor, -1, before.st_gid)
            except OSError:
                # What one group might do, another one might not.
                mode &= ~0o070
    os.fchmod(descriptor, mode)
