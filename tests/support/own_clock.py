"""A clock that a test can set, for the programs that it starts: `own_clock.c` says how."""

import platform
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_CLOCK, _LIBRARY = "clock", "own_clock.so"
_NANOSECONDS = 1e9


def not_here() -> str:
    """Return why no clock can be set on this machine, empty if one can."""
    if platform.machine() != "x86_64":
        return "on another processor than x86_64"
    return "" if shutil.which("cc") else "without a C compiler"


def prepare(folder: Path) -> dict[str, str]:
    """Make a clock in a folder that shows the machine's time; return the environment of programs that go by it."""
    library = folder / _LIBRARY
    command = ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60.0)
    (folder / _CLOCK).write_bytes(struct.pack("q", 0))
    return {"LD_PRELOAD": str(library), "OWN_CLOCK": str(folder / _CLOCK)}


def jump(folder: Path, seconds: float) -> None:
    """Move the clock in a folder, at once and for every program that goes by it."""
    with (folder / _CLOCK).open("r+b") as file:
        (offset,) = struct.unpack("q", file.read())
        file.seek(0)
        file.write(struct.pack("q", offset + int(seconds * _NANOSECONDS)))
