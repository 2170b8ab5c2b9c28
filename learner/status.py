"""What a learner says of itself after each slice of work, and what its checkpoints keep beside tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distill.histograms import HistogramTotals
from learner.feed import FeedState
from learner.limiter import LimiterState


@dataclass(frozen=True)
class LearnerStatus:
    """What a learner says after a slice of work. Counts run since the beginning of the run, resumes included.

    Attributes:
        lineage: the models that this learner publishes.
        updates: updates made.
        samples: transitions sampled.
        nonfinite_updates: updates skipped.
        train_seconds: seconds spent in `Trainer.advance`.
        fraction: share of the budget that is spent, 0 to 1.
        done: whether the budget is spent.
        loss: mean loss per game over this slice.
        updates_per_second: over this slice.
        replay: transitions per game in the replay.
        inserted: transitions per game inserted.
        rejected: chunks refused by reason, since this process began.
        last_rejection: what was last refused and why.
        outages: failed attempts of the feed to reach the buffer service, since this process began.
        ratio: realised samples per inserted transition.
        sample_wait_seconds: time the learner waited for data.
        insert_wait_seconds: time the feed waited for the learner.
        version: newest published version, 0 before the first.
        version_updates: updates that this version had made.
        checkpoint_updates: updates of the newest checkpoint, 0 before the first.
        refused: writes that the disk has refused since this process began, by what was to be written, and why the
            newest one was; empty once one has gone well.
        lag: per game, versions that the data of the newest minibatch was behind the newest version; for a student with
            a changing teacher that of its labels, for a Q-learner that of the network that acted.
        histograms: seconds of `update` and `gather` by game, since this process began.
    """

    lineage: str = "student"
    updates: int = 0
    samples: int = 0
    nonfinite_updates: int = 0
    train_seconds: float = 0.0
    fraction: float = 0.0
    done: bool = False
    loss: dict[str, float] = field(default_factory=dict[str, float])
    updates_per_second: float = 0.0
    replay: dict[str, int] = field(default_factory=dict[str, int])
    inserted: dict[str, int] = field(default_factory=dict[str, int])
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    last_rejection: str = ""
    outages: int = 0
    ratio: float = 0.0
    sample_wait_seconds: float = 0.0
    insert_wait_seconds: float = 0.0
    version: int = 0
    version_updates: int = 0
    checkpoint_updates: int = 0
    refused: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    lag: dict[str, float] = field(default_factory=dict[str, float])
    histograms: dict[str, dict[str, HistogramTotals]] = field(default_factory=dict[str, dict[str, HistogramTotals]])


@dataclass(frozen=True)
class TrainerState:
    """What a checkpoint keeps beside tensors.

    Attributes:
        updates: updates made.
        nonfinite_updates: updates skipped.
        train_seconds: seconds spent training.
        version: newest published version.
        version_updates: updates that this version had made.
        versions_due: versions that the training was worth when it was published; more by now are owed.
        feed: how far the feed has come.
    """

    updates: int = 0
    nonfinite_updates: int = 0
    train_seconds: float = 0.0
    version: int = 0
    version_updates: int = 0
    versions_due: int = 0
    feed: FeedState = field(default_factory=FeedState)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "TrainerState":
        """Return the state that `dataclasses.asdict` turned into plain values."""
        plain = dict[str, Any](state)
        plain["feed"] = feed_state_from_json(state["feed"])
        return cls(**plain)


def feed_state_from_json(state: Mapping[str, Any]) -> FeedState:
    """Return the state that `dataclasses.asdict` turned into plain values."""
    plain = dict[str, Any](state)
    plain["limiter"] = LimiterState(**state["limiter"])
    return FeedState(**plain)
