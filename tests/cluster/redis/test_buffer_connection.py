"""URLs, and what is said when a server cannot be used."""

import pickle
from pathlib import Path

import pytest

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.redis.connection import connect, describe, reaching, require_server
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable, ConfigError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@example.org:7000/2", "redis://example.org:7000/2"),
        ("rediss://user:secret@example.org", "rediss://example.org:6379/0"),
        ("unix://user:secret@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert describe(connect(url)) == shown
    address = BufferAddress(url, "run", ("pong",), Limits(1, 1))
    assert "secret" not in repr(address)
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize("url", ["http://example.org", "example.org", "redis://example.org:port"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected redis://, rediss:// or unix://"):
        connect(url)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BufferUnavailable, match=f"unix://{tmp_path}/none.sock: cannot use it") as caught:
        require_server(connect(f"unix://:secret@{tmp_path}/none.sock"))
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_reported(own_redis: PrivateRedis) -> None:
    client = connect(own_redis.url)
    require_server(client)
    client.config_set("requirepass", "right")
    wrong = own_redis.url.replace("unix://", "unix://:wrong@")
    with pytest.raises(BufferUnavailable, match="password"):
        require_server(connect(wrong))
    require_server(connect(own_redis.url.replace("unix://", "unix://:right@")))


def test_an_error_tells_no_bytes_of_what_was_sent(own_redis: PrivateRedis) -> None:
    client = connect(own_redis.url)
    client.hset("hash", "field", "value")
    pipeline = client.pipeline(transaction=True).append("hash", b"weights" * 1000)
    refused = pytest.raises(BufferUnavailable, match="cannot store a model: WRONGTYPE")
    with refused as caught, reaching(client, "store a model"):
        pipeline.execute()
    assert "weights" not in str(caught.value)
