"""What a measurement was made on."""

import subprocess

from cluster.bench.machine import describe_machine


def circumstances() -> dict[str, str]:
    """Return machine and commit."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return {"machine": describe_machine(), "commit": commit}
