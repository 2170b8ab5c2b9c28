"""Where a server can listen, and what is said where it cannot."""

import socket

import pytest

from cluster.web.server import listen
from distill.errors import RunError


@pytest.mark.parametrize(
    "host, found",
    [
        ("192.0.2.1", "Cannot assign requested address"),
        ("no such host", "Name or service not known"),
        ("a..b", "encoding with 'idna' codec failed"),
        ("a" * 70, "encoding with 'idna' codec failed"),
        ("a\0b", "Name or service not known"),
        ("", "Name or service not known"),
    ],
)
def test_where_it_cannot_listen_one_sentence_says_why(host: str, found: str):
    with pytest.raises(RunError) as refused:
        listen("metrics", host, 0)
    message = str(refused.value)
    assert message.startswith(f"metrics: expected to listen on {host or repr(host)}, port 0, found: {found}")
    assert message.endswith("; choose another port, or 0 for a free one, or another address")
    assert "attempting" not in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_listener_takes_clients_of_ipv4(host: str):
    with listen("metrics", host, 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), 10.0).close()


def test_all_addresses_of_ipv6_are_those_of_ipv4_too():
    if not socket.has_dualstack_ipv6():
        pytest.skip("without IPv6")
    with listen("metrics", "::", 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), 10.0).close()
