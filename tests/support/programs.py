"""Programs that tests use and that do not come with Python: where they are, and what is skipped without them.

A reason to skip reads `without NAME (PART): apt-get install PACKAGE`, so that tests are counted by what they lack.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable

import pytest

DEBIAN_REDIS = "/usr/bin/redis-server"
"""Redis 7.0 with TLS. Another one that stands before it on PATH may have neither."""
PACKAGES = {
    DEBIAN_REDIS: "redis-server",
    "bash": "bash",
    "chromium": "chromium",
    "fish": "fish",
    "ip": "iproute2",
    "kubectl": "kubernetes-client",
    "npm": "npm",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "rsync": "rsync",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "unshare": "util-linux",
    "zsh": "zsh",
}
"""Debian's package of each program."""
_NAMES = {DEBIAN_REDIS: "Debian's redis-server"}
_INSTALL = ": apt-get install "
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where sshd and the like are, which not every user has on PATH."""


def find(program: str) -> str | None:
    """Return the path of a program of `PACKAGES`, or None if it is not installed."""
    assert program in PACKAGES, f"{program}: expected a line for it in PACKAGES"
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS)))


def without(program: str, part: str = "") -> str:
    """Return the reason to skip what needs a program, or needs it for a part of what it can do."""
    return f"without {_NAMES.get(program, program)}{f' ({part})' if part else ''}{_INSTALL}{PACKAGES[program]}"


def require(program: str, part: str = "") -> str:
    """Return the path of a program, or skip the test."""
    path = find(program)
    if path is None:
        pytest.skip(without(program, part))
    return path


def count_skipped(reasons: Iterable[str]) -> str:
    """Return one line that counts skipped tests by reason, with the command that installs what they want."""
    counts: Counter[str] = Counter()
    packages: set[str] = set()
    for reason in reasons:
        what, found, package = reason.removeprefix("Skipped: ").partition(_INSTALL)
        counts[what] += 1
        if found:
            packages.add(package)
    line = "skipped: " + ", ".join(f"{count} {what}" for what, count in counts.most_common())
    install = f"; what is not installed comes with{_INSTALL}--no-install-recommends {' '.join(sorted(packages))}"
    return line + (install if packages else "")
