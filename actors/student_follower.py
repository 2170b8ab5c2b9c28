"""Keeps a collector's student up to date for student-driven play."""

import logging
import time

from actors.collector import Collector
from distill.errors import BufferUnavailable, RunError
from distill.inference import make_q_function
from distill.models import load_model
from distill.protocols import ModelRegistry

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0


class StudentFollower:
    """Fetches the newest student by version and hands it to a collector, which meanwhile plays on with the one it has.

    Args:
        registry: where versions come from.
        collector: whose student it is.
    """

    def __init__(self, registry: ModelRegistry, collector: Collector) -> None:
        self._registry = registry
        self._collector = collector
        self._next_poll = 0.0

    def refresh(self, share: float) -> None:
        """Look for a newer version, at most every two seconds, and let it drive `share` of the episodes."""
        if share == 0.0 or time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + POLL_SECONDS
        try:
            version = self._registry.resolve("latest")
            if version is None or version == self._collector.student_version:
                return
            data = self._registry.fetch(version)
        except (BufferUnavailable, RunError) as error:
            # The registry is away, or has dropped a version that was the newest a moment ago.
            log.info("%s plays on with student %d: %s", self._collector.game, self._collector.student_version, error)
            return
        network, _ = load_model(data)
        q_function = make_q_function(network)
        game = self._collector.game
        self._collector.set_student(lambda observations: q_function(observations, game), version, share)
