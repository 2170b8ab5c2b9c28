"""Programs go by the clock that a test sets, and their waits last as long as before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import own_clock

TELL = """
import threading, time
for line in iter(input, ""):
    start = time.monotonic()
    threading.Event().wait(0.05)
    print(time.time(), time.monotonic() - start, flush=True)
"""

pytestmark = pytest.mark.skipif(bool(own_clock.not_here()), reason=own_clock.not_here())


def test_a_clock_jumps_both_ways_while_a_program_runs(tmp_path: Path):
    environment = {**os.environ, **own_clock.prepare(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as program:
        assert program.stdin and program.stdout
        for jump, offset in ((0.0, 0.0), (3600.0, 3600.0), (-7200.0, -3600.0)):
            own_clock.jump(tmp_path, jump)
            program.stdin.write("tell\n")
            program.stdin.flush()
            told, waited = map(float, program.stdout.readline().split())
            assert abs(told - time.time() - offset) < 60.0
            assert 0.05 <= waited < 30.0
        program.stdin.write("\n")
        program.stdin.close()
        assert program.wait(30.0) == 0


def test_redis_goes_by_it_as_well(redis_binary: str, tmp_path: Path):
    """Its allocator asks for the time before any library is ready."""
    command = [redis_binary, "--version"]
    environment = {**os.environ, **own_clock.prepare(tmp_path)}
    told = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=30.0)
    assert told.stdout.startswith("Redis server v=")
