"""What a machine refuses, as one sentence: where, what, and what to do about it."""

import errno
import os

_ADVICE = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within this user's quota",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`)",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "give this user the right, or choose another place",
    errno.EPERM: "give this user the right, or choose another place",
    errno.ENOENT: "it was removed meanwhile, or never there; put it back",
    errno.ENOTDIR: "a part of that path is no folder; choose another one",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine; end what holds them",
    errno.ENOMEM: "end what else fills this machine's memory",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`), or end some",
    errno.EIO: "check that disk",
    errno.ESTALE: "mount that file system again",
}


_OF_OTHERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EIO)
"""What another program's log is searched for: the rest may be in it without being what it died of."""


def machine_error(error: OSError) -> str:
    """Return what the machine has refused and what to do, after the file's name if the error knows it."""
    name: object = error.filename
    # A descriptor is a number, which says nothing to anybody.
    place = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
    return place + refusal(error)


def refusal(error: OSError) -> str:
    """Return the same without the file's name, for a message that has it already."""
    advice = _ADVICE.get(error.errno or 0)
    return f"{error.strerror or error}{f'; {advice}' if advice else ''}"


def refusal_in(text: str) -> str | None:
    """Return what the machine has refused to another program, as the newest line of its log that says so."""
    for line in reversed(text.splitlines()):
        for number in _OF_OTHERS:
            if os.strerror(number) in line:
                return f"{os.strerror(number)}; {_ADVICE[number]}"
    return None
