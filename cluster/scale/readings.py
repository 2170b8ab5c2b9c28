"""What the processes of a cell have done until a moment: counts that only grow, so that two of them make rates."""

import os
from dataclasses import dataclass
from pathlib import Path

import redis

from cluster.redis.connection import reaching
from cluster.redis.typed_redis import typed
from distill.histograms import HistogramTotals

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Columns of idle time and of waiting for disks."""
_GUEST = 8
"""Columns from there on are counted in others."""


@dataclass(frozen=True)
class ActorsReading:
    """What a process of actors has done.

    Attributes:
        at: when, by its own clock.
        cpu_seconds: that it took.
        transitions: that its actors made: what simulated ones had acknowledged, what real ones labelled, since these
            push all their lanes' chunks at once, many seconds apart.
        bytes: of the acknowledged chunks.
        wait_seconds: in which its actors waited for room in the buffer, all together.
        pushes: seconds of every push that was acknowledged.
    """

    at: float
    cpu_seconds: float
    transitions: int
    bytes: int
    wait_seconds: float
    pushes: HistogramTotals


@dataclass(frozen=True)
class LearnerReading:
    """What a learner has done.

    Attributes:
        at: when, by its own clock.
        cpu_seconds: that it took, feed included.
        inserted: transitions that entered the replay.
        samples: transitions sampled.
        sample_wait_seconds: in which it waited for data.
        insert_wait_seconds: in which its feed waited for it.
    """

    at: float
    cpu_seconds: float
    inserted: int
    samples: int
    sample_wait_seconds: float
    insert_wait_seconds: float


@dataclass(frozen=True)
class ServerReading:
    """What a Redis server has done.

    Attributes:
        cpu_seconds: that it took, its children included.
        received: bytes, from all its clients.
        sent: bytes, to all its clients.
    """

    cpu_seconds: float
    received: int
    sent: int


def read_server(client: redis.Redis) -> ServerReading:
    """Ask a Redis server what it has done. Raises BufferUnavailable."""
    with reaching(client, "ask what it has done"):
        info = typed(client).info()
    kinds = ("used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children")
    cpu_seconds = sum(float(info[kind]) for kind in kinds)
    return ServerReading(cpu_seconds, int(info["total_net_input_bytes"]), int(info["total_net_output_bytes"]))


def busy_seconds() -> float:
    """Return the CPU seconds that this machine has spent on anything since it was started, all cores together."""
    columns = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:]][:_GUEST]
    return sum(ticks for place, ticks in enumerate(columns) if place not in _IDLE) / os.sysconf("SC_CLK_TCK")
