"""A Ray of the tests' own, started when a test first wants it."""

from collections.abc import Iterator

import pytest

from cluster.private_ray import private_ray


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    """Ray on two cores, shared by all tests that call actors."""
    with private_ray(2):
        yield
