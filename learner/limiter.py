"""Holds the sample-to-insert ratio by making the faster side wait: Reverb's rate limiter, over all games."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["insert", "sample"]
"""Who waits: the feed inserts, the learner samples."""


@dataclass(frozen=True)
class LimiterState:
    """What a checkpoint keeps of a limiter.

    Attributes:
        inserted: transitions inserted since the run began, refills after a restart not counted.
        sampled: transitions sampled since the run began.
        insert_wait_seconds: time during which the feed was not allowed to insert.
        sample_wait_seconds: time during which the learner was not allowed to sample.
        forfeited: samples that the learner will never make, because it could not when they were due.
    """

    inserted: int = 0
    sampled: int = 0
    insert_wait_seconds: float = 0.0
    sample_wait_seconds: float = 0.0
    forfeited: float = 0.0


class SampleToInsertLimiter:
    """Decides who may go on: surplus = inserted x ratio - sampled - forfeited is kept between 0 and the window.

    Args:
        ratio: samples per inserted transition, or None for no limit.
        window: largest surplus, in samples, beyond that of the first `min_inserted` transitions. The configuration
            refuses windows so small that both sides could wait for each other.
        min_inserted: transitions that are inserted before anything is sampled.
        state: counters to go on from.
    """

    def __init__(
        self, ratio: float | None, window: float, min_inserted: int, state: LimiterState | None = None
    ) -> None:
        self._ratio = ratio
        self._ceiling = window + (ratio or 0.0) * min_inserted
        state = state or LimiterState()
        self._inserted = state.inserted
        self._sampled = state.sampled
        # Feed and learner are threads of their own: each writes counters that the other only reads.
        self._wait_seconds: dict[Side, float] = {
            "insert": state.insert_wait_seconds,
            "sample": state.sample_wait_seconds,
        }
        self._forfeited = state.forfeited
        self._released = False
        self._ended = False

    def _surplus(self) -> float:
        return self._inserted * (self._ratio or 0.0) - self._sampled - self._forfeited

    def inserted(self, count: int) -> None:
        """Count transitions that were inserted."""
        self._inserted += count

    def sampled(self, count: int) -> None:
        """Count transitions that were sampled."""
        self._sampled += count

    def waited(self, side: Side, seconds: float) -> None:
        """Count time during which a side was not allowed to go on."""
        self._wait_seconds[side] += seconds

    def forfeit(self) -> None:
        """Give up the samples that are due: a learner that cannot sample yet must not hold up the actors.

        Where several learners read the same chunks, one that stops reading stops them all.
        """
        self._forfeited += max(0.0, self._surplus())

    def release(self) -> None:
        """Let inserting go on for ever: the learner will sample no more."""
        self._released = True

    def end_inserts(self) -> None:
        """Let sampling go on for ever: nothing more will be inserted."""
        self._ended = True

    def may_sample(self, count: int) -> bool:
        """Return whether `count` more samples keep to the ratio."""
        return self._ratio is None or self._ended or self._surplus() >= count

    def may_insert(self) -> bool:
        """Return whether inserting may go on: the learner is not yet a whole window behind."""
        return self._ratio is None or self._released or self._surplus() <= self._ceiling

    @property
    def unlimited(self) -> bool:
        """Whether both sides run free."""
        return self._ratio is None

    @property
    def realised_ratio(self) -> float:
        """Samples per inserted transition so far, 0 before the first insert."""
        return self._sampled / self._inserted if self._inserted else 0.0

    def get_state(self) -> LimiterState:
        """Return the counters as they are now."""
        return LimiterState(
            inserted=self._inserted,
            sampled=self._sampled,
            insert_wait_seconds=self._wait_seconds["insert"],
            sample_wait_seconds=self._wait_seconds["sample"],
            forfeited=self._forfeited,
        )
