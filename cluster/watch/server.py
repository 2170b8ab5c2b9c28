"""Serves the live page of a run over HTTP: its files, its data, and a stream of pictures. Nothing can be changed."""

import json
import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cluster.watch.access import Access
from cluster.watch.cast import Cast
from cluster.watch.match import begin_match
from cluster.watch.stage import Stage
from cluster.watch.state import StateReader
from distill.errors import ConfigError, DistillError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
MOST_STREAMS = 4
"""Clients that may have the games played; each gets the same frames."""
HEAD_SECONDS = 10.0
"""A request's head must be there within this time."""
SEND_SECONDS = 10.0
"""A client that takes nothing for that long is dropped."""
HEARTBEAT_SECONDS = 5.0
"""A stream without a frame for that long gets an empty line, which shows whether its client is still there."""
_STOP_SECONDS = 15.0

PAGES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/watch.css": ("watch.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("theme", "page", "facts", "games", "cards", "live", "chart", "dom")
    },
}
"""Every path that is served from a file; a path is looked up here and never joined to a folder."""
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class WatchServer:
    """Serves a run that is running or finished; use it as a context manager.

    The run is only read. Its games are played while somebody watches, in a thread of this process.

    Args:
        folder: the run's folder.
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        token: the password that clients must give; required unless `host` is this machine's own.

    Raises:
        DistillError: if there is no run, the token is missing, or the address cannot be used.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self._access = Access(host, token)
        self._state = StateReader(folder)
        config, cast = self._state.config, Cast(self._state.folder, self._state.config)
        self._stage = Stage(self._state.games, lambda game: begin_match(game, cast, config))
        try:
            self._http = _Http(host, port, self._access, self._state, self._stage)
        except OSError as error:
            raise ConfigError(f"watch {host}:{port}: cannot listen there: {error.strerror}; choose another") from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name="watch", daemon=True)

    @property
    def address(self) -> str:
        """The page's URL."""
        host, port = self._http.server_address[:2]
        name = f"[{host}]" if self._http.address_family == socket.AF_INET6 else host
        return f"http://{name}:{port}/"

    @property
    def playing(self) -> bool:
        """Whether games are played now."""
        return self._stage.playing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join(_STOP_SECONDS)
        self._http.server_close()
        self._stage.close()


class _Http(ThreadingHTTPServer):
    """Takes connections, each in a thread, up to `MOST_CONNECTIONS`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, access: Access, state: StateReader, stage: Stage) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.access, self.state, self.stage = access, state, stage
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        self._connections = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind, without the base class's look-up of the host's name, which a broken DNS makes a wait of seconds."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or drop it if there are too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a failed request; clients that leave in the middle of one are no news."""
        del request
        log.debug("request of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; every connection carries one, so that none is held for the next."""

    server: _Http  # pyright: ignore[reportIncompatibleVariableOverride] - made by no other
    server_version = "distill"
    sys_version = ""
    timeout = SEND_SECONDS

    def setup(self) -> None:
        """Prepare the connection, and end it if its head does not arrive in time, however slowly it trickles."""
        super().setup()
        self._late = threading.Timer(HEAD_SECONDS, self._hang_up)
        self._late.daemon = True
        self._late.start()

    def finish(self) -> None:
        """End the connection."""
        self._late.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Answer a GET request."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer a HEAD request."""
        self._answer(with_body=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a status and one sentence, for requests that the base class refuses as well."""
        del explain
        body = (message or HTTPStatus(code).phrase).encode()
        self._head(code, "text/plain; charset=utf-8", len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        """End the head of an answer; all have the same rules for browsers."""
        for name, value in SECURITY.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests only on demand; headers, and with them tokens, are never logged."""
        log.debug("%s %s", self.address_string(), format % args)

    def _answer(self, *, with_body: bool) -> None:
        self._late.cancel()
        path = urlsplit(self.path).path
        refusal = self.server.access.refusal(self.headers)
        if refusal is not None:
            self.send_error(*refusal)
        elif path in PAGES:
            name, kind = PAGES[path]
            self._send(resources.files("cluster.watch").joinpath("page", name).read_bytes(), kind, with_body)
        elif path == "/state":
            self._send_state(with_body)
        elif path == "/live" and with_body:
            self._stream()
        elif path == "/live":
            self._head(HTTPStatus.OK, "text/event-stream")
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _send_state(self, with_body: bool) -> None:
        try:
            body = json.dumps(self.server.state.document(), separators=(",", ":"), allow_nan=False).encode()
        except (DistillError, OSError) as error:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        else:
            self._send(body, "application/json", with_body)

    def _stream(self) -> None:
        """Send the frames of all games as server-sent events until the client leaves."""
        if not self.server.streams.acquire(blocking=False):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_STREAMS} clients watch already.")
            return
        try:
            self._head(HTTPStatus.OK, "text/event-stream")
            with self.server.stage.watch() as viewer:
                while not self.server.stage.closed:
                    frames = viewer.next(HEARTBEAT_SECONDS)
                    self.wfile.write("".join(f"data: {frame}\n\n" for frame in frames).encode() or b":\n\n")
        except OSError as error:
            log.debug("a viewer left: %s", error)
        finally:
            self.server.streams.release()

    def _send(self, body: bytes, kind: str, with_body: bool) -> None:
        self._head(HTTPStatus.OK, kind, len(body))
        if with_body:
            self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="distill watch"')
        self.end_headers()

    def _hang_up(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            log.debug("a client left: %s", error)
