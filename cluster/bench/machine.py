"""What to call the machine that was measured."""

import platform
from pathlib import Path

import torch

from cluster.ray.cluster import available_cores


def describe_machine(device: str = "cpu") -> str:
    """Return cores, processor and system of this machine, and the CUDA device's name."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    if device != "cpu":
        model = f"{model} with {torch.cuda.get_device_name(device)}"
    return f"{available_cores()} cores of {model}, {platform.platform()}"
