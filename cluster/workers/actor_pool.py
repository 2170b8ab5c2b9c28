"""The actors that play a run's games on Ray: as many as are wanted, which may change while the run goes on."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cluster.ray.places import Place
from cluster.state.session import Session
from cluster.workers.placement import Placement
from cluster.workers.shutdown import STOP_SECONDS
from cluster.workers.supervisor import Supervisor, Worker
from cluster.workers.wanted_actors import WantedActors
from distill.errors import ConfigError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

MakeWorker = Callable[[str, int, Mapping[str, Any]], Worker]
"""Makes the worker of a game with that number among those of the game, and what it asks Ray for."""


class ActorPool:
    """Adds actors where there are too few and takes the last ones away where there are too many.

    An actor for which a cluster has no place yet is not started, so that it cannot be taken for one that hangs. It
    starts when a node joins, by hand or because the cluster's autoscaler sees what is wanted.

    Args:
        supervisor: of the actors.
        role: of the actors.
        session: what they work for.
        counts: how many are wanted.
        placement: where they may run.
        make: makes one; it must have a method `finish(timeout)`.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        role: str,
        session: Session,
        counts: WantedActors,
        placement: Placement,
        make: MakeWorker,
    ) -> None:
        self._supervisor = supervisor
        self._role = role
        self._session = session
        self._counts = counts
        self._placement = placement
        self._make = make
        self._places = placement.cluster.places(placement.added)
        self._working: dict[str, list[tuple[Worker, Place | None]]] = {}
        self._lives: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._look_at = 0.0
        self._short: dict[str, int] = {}

    def start(self) -> None:
        """Start the actors that the placement has counted with."""
        self._wanted = self._counts.wanted()
        for game, count in self._wanted.items():
            self._working[game] = []
            for _ in range(count):
                self._add(game, None)
        self._look_at = time.monotonic() + LOOK_SECONDS

    def adjust(self) -> None:
        """Look, every few seconds, whether another number is wanted or a missing actor has found a place."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            wanted = self._counts.wanted()
        except ConfigError as error:
            log.warning("%s", error)
            return
        for game, count in wanted.items():
            if count != self._wanted[game]:
                self._session.note(f"{game}: {count} actors are wanted, {self._wanted[game]} were")
        self._wanted = wanted
        self._remove_surplus()
        self._add_missing()

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return by role how many workers have an actor, and how many should, those included that have no place yet."""
        counts = self._supervisor.counts()
        alive, desired = counts[self._role]
        return counts | {self._role: (alive, desired + sum(self._short.values()))}

    def close(self) -> None:
        """Want no more actors than there are."""
        self._short = {}
        self._places.take(0)

    def release(self) -> None:
        """Give back the places of all actors, which must have ended."""
        self._places.give_all_back()

    def _remove_surplus(self) -> None:
        for game, count in self._wanted.items():
            working = self._working[game]
            while len(working) > count:
                worker, place = working.pop()
                # A later actor of that number must not repeat this one's episodes.
                self._lives[worker.name] = worker.incarnation
                self._supervisor.retire(
                    worker,
                    lambda handle: handle.finish.remote(STOP_SECONDS),
                    partial(self._on_retired, worker.name, place),
                )

    def _on_retired(self, name: str, place: Place | None, left: int | None) -> None:
        if place is not None:
            self._places.give_back(place)
        self._session.on_retired(name)
        if left is None:
            self._session.note(f"{name} is retired; it ended before it had pushed what it held")
        elif left:
            self._session.note(f"{name} is retired; {left} of its chunks were not pushed: the buffer was full or away")

    def _add_missing(self) -> None:
        missing = {game: count - len(self._working[game]) for game, count in self._wanted.items()}
        there = self._places.take(sum(missing.values()))
        for game, count in missing.items():
            for place in there[:count]:
                self._add(game, place)
            there = there[count:]
        short = {game: left for game, count in self._wanted.items() if (left := count - len(self._working[game]))}
        if short != self._short:
            self._on_shortage(short)
        self._short = short

    def _add(self, game: str, place: Place | None) -> None:
        """Start an actor in a place of its own, or, without one, where the placement has counted with it."""
        options = self._placement.actor if place is None else place.options
        worker = self._make(game, len(self._working[game]), options)
        worker.incarnation = self._lives.get(worker.name, 0)
        self._working[game].append((worker, place))
        self._supervisor.add(worker)

    def _on_shortage(self, short: Mapping[str, int]) -> None:
        for game, count in short.items():
            self._session.note(
                f"{game}: {self._wanted[game]} actors are wanted, {len(self._working[game])} have a place on the Ray"
                f" cluster; {count} start when nodes join"
            )
