"""Places for actors on a Ray cluster: each is reserved before its actor starts, so that no actor waits for one.

A place is a placement group of one bundle. As long as it waits, the cluster's autoscaler sees that it is wanted. Then
it holds its node until it is given back, or until the process that asked for it ends, however that ends.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ray import util
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

log = logging.getLogger(__name__)

ROOM_SECONDS = 1.0
"""For Ray to reserve what the cluster has, which takes milliseconds."""


class _Groups(Protocol):
    """The module `ray.util`, which gives what is in bundles and in its table no types."""

    def placement_group(self, bundles: list[dict[str, float]], /) -> PlacementGroup: ...

    def placement_group_table(self) -> dict[str, dict[str, Any]]: ...

    def remove_placement_group(self, placement_group: PlacementGroup, /) -> None: ...


_ray = cast(_Groups, util)


@dataclass(frozen=True)
class Place:
    """Room for one actor.

    Attributes:
        options: what an actor asks Ray for to be put there.
        group: what is reserved; None on a run's own Ray, where actors share the cores.
    """

    options: Mapping[str, Any]
    group: PlacementGroup | None = None

    def is_among(self, created: set[str]) -> bool:
        """Return whether it is there, given the ids of the placement groups that are."""
        return self.group is None or cast(Any, self.group).id.hex() in created


class Places:
    """Those that a run has beside what it began with.

    Args:
        options: what every actor asks Ray for, as `RayCluster.actor_options` returns it.
        reserve: whether places are reserved; otherwise there are as many as you like.
        trouble: returns what has become of a Ray that is gone, empty as long as it is there.
    """

    def __init__(self, options: Mapping[str, Any], *, reserve: bool, trouble: Callable[[], str] = str) -> None:
        self._options = options
        self._reserve = reserve
        self._trouble = trouble
        self._waiting: list[Place] = []
        self._held: list[Place] = []

    def take(self, count: int) -> list[Place]:
        """Return up to `count` places that are there; the rest stays wanted until a later call takes it, or less."""
        while len(self._waiting) > count:
            self._remove(self._waiting.pop())
        asked = [self._ask() for _ in range(count - len(self._waiting))]
        self._waiting += asked
        deadline = time.monotonic() + ROOM_SECONDS
        created = self._created()
        while not all(place.is_among(created) for place in asked) and time.monotonic() < deadline:
            time.sleep(ROOM_SECONDS / 20)
            created = self._created()
        there = [place for place in self._waiting if place.is_among(created)]
        self._waiting = [place for place in self._waiting if not place.is_among(created)]
        self._held += there
        return there

    def give_back(self, place: Place) -> None:
        """Need a place no more whose actor has ended."""
        self._held.remove(place)
        self._remove(place)

    def give_all_back(self) -> None:
        """Need no place more; whoever is still there ends."""
        self.take(0)
        for place in list(self._held):
            self.give_back(place)

    def _ask(self) -> Place:
        if not self._reserve:
            return Place(self._options)
        asked = {"CPU": float(self._options["num_cpus"]), **self._options["resources"]}
        group = _ray.placement_group([{name: amount for name, amount in asked.items() if amount}])
        return Place({**self._options, "scheduling_strategy": PlacementGroupSchedulingStrategy(group, 0)}, group)

    def _remove(self, place: Place) -> None:
        if place.group is None or self._trouble():
            return
        try:
            _ray.remove_placement_group(place.group)
        except RayError as error:
            log.debug("a place is not given back: %s", error)

    def _created(self) -> set[str]:
        if not self._reserve or not self._waiting:
            return set()
        return {name for name, group in _ray.placement_group_table().items() if group["state"] == "CREATED"}
