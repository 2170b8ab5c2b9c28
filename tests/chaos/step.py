"""A fault in time, and the faults of one step of a schedule."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A fault in time.

    Attributes:
        fault: its name among `FAULTS`.
        seconds: that it lasts.
        after: seconds from the beginning of its step.
    """

    fault: str
    seconds: float
    after: float = 0.0


Step = tuple[Span, ...]
"""Faults after which the system must recover before the next ones begin."""

KNOWN: dict[str, Step] = {
    # The learner has read all when it cannot say so, and producers wait for that.
    "refused commits": (Span("stop learner", 3.5), Span("refuse writes", 4.0, 3.3)),
    "two learners": (Span("replace learner", 1.0),),
    "another run of this name": (Span("let another run of this name push", 1.0),),
    "manifest removed": (Span("remove the manifest", 0.5),),
    "checkpoint damaged": (Span("flip bits of a checkpoint", 0.5),),
    "poisoned stream": (Span("poison the stream", 0.5),),
}
"""Steps that have once broken a promise."""
