"""What the tests of the live page share: frames of a stream."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from cluster.watch.server import WatchServer
from tests.support.http_client import connection_to, named


@contextlib.contextmanager
def frames(server: WatchServer, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Open the stream and give its frames."""
    connection = connection_to(server)
    try:
        connection.request("GET", "/live", headers=named(headers))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        with answer:
            yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))
    finally:
        connection.close()
