"""Freed memory stays with the process: a block that is freed and taken again costs no page faults."""

import os
import subprocess
import sys

SCRIPT = """
import resource, sys
import torch
from learner.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def take_and_free():
    blocks = [torch.ones(1_600_000) for _ in range(4)]
for _ in range(3):
    take_and_free()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take_and_free()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    """Return the page faults of taking and freeing 4 blocks of 6.4 MB 20 times, 125,000 pages in all."""
    # Named, glibc's default threshold stays what it is: otherwise it adapts, by the chance of where blocks come to lie.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", SCRIPT, mode]
    return int(subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment).stdout)


def test_large_blocks_are_kept() -> None:
    kept, given_back = page_faults("keep"), page_faults("default")
    assert kept < 10_000
    assert given_back > 5 * kept
