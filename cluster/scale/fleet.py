"""What many actors need, by the model of capacity: cores, Redis servers, links, learner ranks, and their cost."""

import math
from dataclasses import dataclass

from cluster.scale.capacity import Demand

ACTORS = 10_000
"""Of the plan."""
USABLE = 0.7
"""Share of a core or a link that is planned with: above it queues grow long."""
LINK_BITS = 10e9
"""Bits per second of one link."""
PRICE = 0.04
"""Assumed price of a core for an hour, in dollars; nothing here was measured with it."""


@dataclass(frozen=True)
class Costs:
    """What was measured of the parts, each where it was measured best.

    Attributes:
        actor: of real actors.
        service: of Redis and the learner's feed, at the highest rates.
        sample: CPU seconds of the learner for one sample; None if it was not measured.
    """

    actor: Demand
    service: Demand
    sample: float | None


@dataclass(frozen=True)
class Fleet:
    """What so many actors need.

    Attributes:
        actors: how many.
        transitions: per second, of all of them.
        actor_cores: that they keep busy.
        servers: Redis servers, of a core each.
        connections: to each server.
        to_redis: bits per second from the actors.
        from_redis: bits per second to the learners.
        links: that each of these two needs.
        ranks: learner ranks that can take the transitions in, of a core for the feed each.
        sample_cores: that the learner needs to sample every transition once; None if that was not measured.
    """

    actors: int
    transitions: float
    actor_cores: float
    servers: int
    connections: int
    to_redis: float
    from_redis: float
    links: tuple[int, int]
    ranks: int
    sample_cores: float | None

    @classmethod
    def of(cls, actors: int, costs: Costs) -> "Fleet":
        """Return what they need, with no core or link busier than `USABLE`."""
        transitions = actors * costs.actor.rate
        servers = _whole(transitions * costs.service.redis)
        to_redis, from_redis = (8.0 * transitions * size for size in (costs.service.to_redis, costs.service.from_redis))
        return cls(
            actors=actors,
            transitions=transitions,
            actor_cores=transitions * costs.actor.actors,
            servers=servers,
            connections=math.ceil(actors / servers),
            to_redis=to_redis,
            from_redis=from_redis,
            links=(_whole(to_redis / LINK_BITS), _whole(from_redis / LINK_BITS)),
            ranks=_whole(transitions * costs.service.learner),
            sample_cores=None if costs.sample is None else transitions * costs.sample / USABLE,
        )

    @property
    def cores(self) -> float:
        """Return the cores of everything but the learner's updates."""
        return self.actor_cores + self.servers + self.ranks

    @property
    def price(self) -> float:
        """Return dollars per hour of these cores, at the assumed price."""
        return PRICE * self.cores


def _whole(busy: float) -> int:
    return max(1, math.ceil(busy / USABLE))
