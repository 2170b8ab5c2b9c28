"""A score that somebody reported, beside what was measured here under his protocol."""

from dataclasses import dataclass
from typing import Any

from distill.evaluation_protocols import EvaluationProtocol
from distill.scores import GameScore

ENTRY = "protocols"
"""Of a game's scores in a model card: what was measured under other protocols, by their name. These scores are kept
apart, since those of different protocols must not be compared."""


@dataclass(frozen=True)
class Reproduction:
    """What a model scored under a protocol.

    Attributes:
        protocol: under which it played.
        measured: its scores.
        reported: the mean that its author gives, None if none is known.
    """

    protocol: EvaluationProtocol
    measured: GameScore
    reported: float | None = None

    def card_entry(self) -> dict[str, Any]:
        """Return what a model card says about it."""
        interval = self.measured.interval
        return {
            "protocol": self.protocol.name,
            "reported": self.reported,
            "measured": self.measured.mean,
            "interval": None if interval is None else list(interval),
            "episodes": self.measured.episodes,
            "settings": self.protocol.settings(),
            "scores": list(self.measured.scores),
        }

    def sentence(self) -> str:
        """Return what was found as one line."""
        score = self.measured
        found = f"{score.game}: measured {score.mean:.2f}"
        if score.interval is not None:
            found += f" ({score.interval[0]:.2f} to {score.interval[1]:.2f})"
        found += f" in {score.episodes} episodes under protocol {self.protocol.name}"
        if self.reported is None:
            return found
        return f"{found}, reported {self.reported:g}: {self._verdict(self.reported)}"

    def _verdict(self, reported: float) -> str:
        if self.measured.interval is None:
            return "too few episodes to tell"
        low, high = self.measured.interval
        if low <= reported <= high:
            return "it lies in the 95 % interval"
        return f"it lies {'above' if reported > high else 'below'} the 95 % interval"


def with_entries(present: dict[str, Any], *, ours: dict[str, Any] | None, other: Reproduction | None) -> dict[str, Any]:
    """Return what a card says of a game's scores, with new ones in place of the old ones of the same protocol.

    Args:
        present: what it says now.
        ours: scores under this project's protocol, None if none are new.
        other: scores under a protocol that is to be named.
    """
    kept: dict[str, Any] = present.get(ENTRY, {})
    found = dict(present) if ours is None else dict(ours)
    entries = kept if other is None else kept | {other.protocol.name: other.card_entry()}
    return found | ({ENTRY: entries} if entries else {})
