"""What to call the machine that was measured."""

import platform
from pathlib import Path

from cluster.ray.cluster import available_cores


def describe_machine() -> str:
    """Return cores, processor and system of this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{available_cores()} cores of {model}, {platform.platform()}"
