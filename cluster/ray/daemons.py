"""Notices that the Ray of somebody else's cluster is gone, before Ray ends this process without a word of ours.

Ray ends a process a quarter of a minute after its machine's raylet has ended, and a whole one after gcs_server has.
"""

import socket
import time
from pathlib import Path

import ray._private.worker

LOOK_SECONDS = 2.0
GCS_SECONDS = 45.0
"""A cluster whose gcs_server is started again keeps its actors, so it may be away for that long."""
_ANSWER_SECONDS = 1.0


class Daemons:
    """The two daemons of a cluster that a connected process depends on.

    Args:
        raylet: socket of the one on this machine.
        gcs: host and port of gcs_server.
        gcs_seconds: how long that may be away.
    """

    def __init__(self, raylet: Path, gcs: str, gcs_seconds: float = GCS_SECONDS) -> None:
        self._raylet = raylet
        self._gcs = gcs
        self._gcs_seconds = gcs_seconds
        self._look_at = 0.0
        self._gcs_seen = time.monotonic()
        self._trouble = ""

    @classmethod
    def of_connection(cls) -> "Daemons":
        """Return those of the Ray that this process is connected to."""
        node = ray._private.worker.global_worker.node  # pyright: ignore[reportPrivateUsage] - told in no other way
        assert node is not None, "it is connected"
        return cls(Path(node.raylet_socket_name), node.gcs_address)

    def trouble(self) -> str:
        """Return which of them is gone, empty as long as none is; it looks every few seconds."""
        if self._trouble or time.monotonic() < self._look_at:
            return self._trouble
        self._look_at = time.monotonic() + LOOK_SECONDS
        if not self._raylet_answers():
            self._trouble = "the raylet of this machine has ended"
        elif self._gcs_answers():
            self._gcs_seen = time.monotonic()
        elif time.monotonic() - self._gcs_seen > self._gcs_seconds:
            self._trouble = f"nobody has answered at {self._gcs}, where gcs_server was, for {self._gcs_seconds:.0f} s"
        return self._trouble

    def _raylet_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_ANSWER_SECONDS)
            try:
                client.connect(str(self._raylet))
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            except OSError:
                # It is busy: one that is gone refuses at once.
                pass
        return True

    def _gcs_answers(self) -> bool:
        host, _, port = self._gcs.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
        except OSError:
            return False
        return True
