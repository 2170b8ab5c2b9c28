"""What `--buffer` may be: checked where a user writes it, before anything connects."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from distill.buffer_urls import BufferUrls, split_urls
from distill.errors import ConfigError

URLS = TypeAdapter[str](BufferUrls)


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://example.org:7000/2", "redis://example.org:7000/2"),
        ("redis://example.org/?db=2", "redis://example.org/?db=2"),
        ("rediss://me@example.org:6380/0", "rediss://me@example.org:6380/0"),
        ("redis://[::1]:6379/", "redis://[::1]:6379/"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
        ("redis://a:1, redis://b:1 ", "redis://a:1,redis://b:1"),
        ("redis://a:1/0,redis://a:1/1", "redis://a:1/0,redis://a:1/1"),
    ],
)
def test_urls_of_servers_are_taken(written: str, taken: str) -> None:
    assert URLS.validate_python(written) == taken
    assert all(url == url.strip() for url in split_urls(taken))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("http://x", "expected redis://HOST:PORT, rediss://HOST:PORT or unix://PATH"),
        ("", "expected redis://HOST:PORT"),
        ("redis://a,", "expected redis://HOST:PORT"),
        ("redis://a:port", "with a port from 1 to 65535"),
        ("redis://a:99999", "with a port from 1 to 65535"),
        ("redis://a:0", "expected redis://HOST:PORT/DB"),
        ("redis://[::1", "found one that cannot be read"),
        ("redis://a?family=0", "expected no parameters in a URL but ?db=NUMBER, found 'family'"),
        ("redis://a?tls=true", "found 'tls'; user, password and CA come from the environment"),
        ("redis://a?socket_timeout=1&db=1&retry=x", "found 'retry', 'socket_timeout'"),
        ("rediss://a?ssl_cert_reqs=none", "found 'ssl_cert_reqs'"),
        ("redis://a?db", "cannot be read"),
        ("redis://a/zero", "a number as in redis://HOST:PORT/0"),
        ("redis://a/1/2", "at most one database"),
        ("redis://a/1?db=1", "at most one database"),
        ("redis://a?db=1&db=2", "at most one database"),
        ("redis://a?db=-1", "a number as in"),
        ("redis://a#x", "expected redis://HOST:PORT/DB"),
        ("unix://run/redis.sock", "expected unix:///PATH"),
        ("unix://", "expected unix:///PATH"),
        ("redis://a,redis://a:6379/0", "each server once"),
    ],
)
def test_what_no_server_can_be_reached_by_is_refused(written: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        URLS.validate_python(written)
    assert expected in str(caught.value) and str(caught.value).startswith("buffer: ")


@pytest.mark.parametrize("url", ["redis://host:secret", "redis://a/secret", "redis://a?secret", "redis://a?db=secret"])
def test_what_may_be_a_password_in_a_wrong_place_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        URLS.validate_python(url)
    assert "secret" not in str(caught.value)


@given(st.one_of(st.text(), st.from_regex(r"(redis|rediss|unix)://[^\0]{0,40}", fullmatch=True)))
@example("redis://\ud800")
@example("redis://a?db=\u0663")
def test_any_text_is_taken_or_refused_in_one_line(written: str) -> None:
    try:
        taken = URLS.validate_python(written)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert URLS.validate_python(taken) == taken
