"""Keeps up with a model in the registry by version, without making its user wait."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from distill.errors import BufferUnavailable, RunError
from distill.models import load_model
from distill.networks import QNetwork
from distill.protocols import ModelRegistry

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
CLOSE_SECONDS = 5.0

Model = TypeVar("Model")


@dataclass(frozen=True)
class Followed(Generic[Model]):
    """A model that has arrived.

    Attributes:
        model: what was made of the network.
        version: its version.
    """

    model: Model
    version: int


class ModelFollower(Generic[Model]):
    """Fetches and prepares, in a thread of its own, the version that a name points at whenever that changes.

    Its user meanwhile goes on with the version that it has. The thread begins with the first `poll` or `wait`.

    Args:
        registry: where versions come from; the follower's alone from now on.
        name: such as `latest` or `best`.
        prepare: makes of the network what the user needs; it runs in the thread.
    """

    def __init__(self, registry: ModelRegistry, name: str, prepare: Callable[[QNetwork], Model]) -> None:
        self._registry = registry
        self._name = name
        self._prepare = prepare
        self.version = 0
        """Version that `poll` handed out last, 0 before the first."""
        self.newest = 0
        """Version that the name was last seen to point at."""
        self._arrived: Followed[Model] | None = None
        self._fetched = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def poll(self) -> Followed[Model] | None:
        """Return the model that has arrived since the last call, if one has; never wait.

        Raises:
            ModelFileError: if the version that the name points at is not a usable model.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"follow {self._name}", daemon=True)
            self._thread.start()
        with self._changed:
            if self._failure is not None:
                raise self._failure
            arrived, self._arrived = self._arrived, None
        if arrived is not None:
            self.version = arrived.version
        return arrived

    def wait(self, timeout: float) -> Followed[Model]:
        """Return the first model.

        Raises:
            BufferUnavailable: if none has arrived within `timeout` seconds.
            ModelFileError: if it is not a usable model.
        """
        deadline = time.monotonic() + timeout
        while (arrived := self.poll()) is None:
            with self._changed:
                if not self._changed.wait_for(lambda: self._arrived or self._failure, deadline - time.monotonic()):
                    raise BufferUnavailable(
                        f"model {self._name!r}: the registry had none for {timeout:g} s; see the learner"
                    )
        return arrived

    def close(self) -> None:
        """End the thread, which would miss a registry that goes next; wait for it for some seconds at most."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except (BufferUnavailable, RunError) as error:
                # The registry is away, or has dropped a version that was the newest a moment ago.
                log.info("model %r stays at version %d: %s", self._name, self._fetched, error)
            except BaseException as error:  # noqa: BLE001 - kept for the user's thread, which raises it
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            self._stop.wait(POLL_SECONDS)

    def _look(self) -> None:
        newest = self._registry.resolve(self._name)
        if newest is None:
            return
        self.newest = newest
        if newest == self._fetched:
            return
        network, _ = load_model(self._registry.fetch(newest))
        arrived = Followed(self._prepare(network), newest)
        with self._changed:
            self._arrived = arrived
            self._fetched = newest
            self._changed.notify_all()
