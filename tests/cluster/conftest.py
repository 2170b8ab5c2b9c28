"""What tests share that takes long to start: a Ray of their own, and a small finished run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_support import new_sandbox

from cluster.ray.private import private_ray


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    """Ray on two cores, shared by all tests that call actors."""
    with private_ray(2):
        yield


@pytest.fixture(scope="session")
def small_run() -> Iterator[Path]:
    """The folder of a finished run of two games with two versions of its student; tests only read it."""
    with new_sandbox() as sandbox:
        sandbox.train_here("small", "--serial", "--updates", "120", "--eval-every", "60")
        yield sandbox.run("small")
