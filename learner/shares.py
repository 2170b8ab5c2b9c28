"""What several learners have counted together, and which part of it is one's own.

A checkpoint keeps the sum, as that of a single learner does. So any number of learners can go on from it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from learner.feed import FeedState
from learner.limiter import LimiterState
from learner.status import LearnerStatus


def share_of(state: FeedState, rank: int, size: int) -> FeedState:
    """Return a rank's share of what was counted together, so that all the shares sum up to it.

    Whose chunks were counted, every rank is told: each reads streams of its own, which may have been another's before.
    """
    limiter = state.limiter
    return FeedState(
        dict(state.consumed),
        {game: _part(count, rank, size) for game, count in state.inserted.items()},
        replace(
            limiter,
            inserted=_part(limiter.inserted, rank, size),
            sampled=_part(limiter.sampled, rank, size),
            forfeited=limiter.forfeited / size,
        ),
    )


def joined(states: Sequence[FeedState]) -> FeedState:
    """Return what all ranks have counted together; they wait at the same time, so their waiting is not added up."""
    consumed: dict[str, int] = {}
    inserted = Counter[str]()
    for state in states:
        # A producer writes to one stream, so only the rank that reads it has come any further.
        consumed |= {
            producer: max(sequence, consumed.get(producer, -1)) for producer, sequence in state.consumed.items()
        }
        inserted.update(state.inserted)
    limiters = [state.limiter for state in states]
    return FeedState(
        consumed,
        dict(inserted),
        LimiterState(
            inserted=sum(limiter.inserted for limiter in limiters),
            sampled=sum(limiter.sampled for limiter in limiters),
            insert_wait_seconds=fmean(limiter.insert_wait_seconds for limiter in limiters),
            sample_wait_seconds=fmean(limiter.sample_wait_seconds for limiter in limiters),
            forfeited=sum(limiter.forfeited for limiter in limiters),
        ),
    )


def as_one(statuses: Sequence[LearnerStatus]) -> LearnerStatus:
    """Return the status of all ranks together; what all have in common is that of the first one."""
    first = statuses[0]
    inserted = _sum([status.inserted for status in statuses])
    samples = sum(status.samples for status in statuses)
    return replace(
        first,
        samples=samples,
        replay=_sum([status.replay for status in statuses]),
        inserted=inserted,
        rejected=_sum([status.rejected for status in statuses]),
        last_rejection="; ".join(status.last_rejection for status in statuses if status.last_rejection),
        outages=sum(status.outages for status in statuses),
        ratio=samples / sum(inserted.values()) if any(inserted.values()) else 0.0,
        sample_wait_seconds=fmean(status.sample_wait_seconds for status in statuses),
        insert_wait_seconds=fmean(status.insert_wait_seconds for status in statuses),
    )


def _part(count: int, rank: int, size: int) -> int:
    return count // size + (rank < count % size)


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(total)
