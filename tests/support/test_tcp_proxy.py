"""The proxy passes bytes on, holds them during a cut, and resets connections."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tcp_proxy import Direction, TcpProxy


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[TcpProxy]:
    """A proxy in front of a server that says everything back."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "echo"))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection:
            while block := connection.recv(2**16):
                connection.sendall(block)

    threading.Thread(target=serve, daemon=True).start()
    proxy = TcpProxy(lambda: tmp_path / "echo")
    yield proxy
    proxy.close()
    server.close()


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10.0)


def test_bytes_pass(proxy: TcpProxy):
    data = bytes(range(256)) * 4096
    with connect(proxy) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        received = b""
        while len(received) < len(data):
            received += client.recv(2**16)
    assert received == data


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_holds_what_was_sent_until_it_is_mended(proxy: TcpProxy, direction: Direction):
    with connect(proxy) as client:
        proxy.cut = frozenset({direction})
        client.sendall(b"held")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(4)
        proxy.cut = frozenset()
        client.settimeout(10.0)
        assert client.recv(4) == b"held"


def test_a_block_that_is_lost_takes_its_connection_along(proxy: TcpProxy):
    with connect(proxy) as client:
        proxy.reset_share = 1.0
        client.sendall(b"lost")
        with pytest.raises(ConnectionResetError):
            assert client.recv(4), "the end, not a reset"
            client.recv(4)
