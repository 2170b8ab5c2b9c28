"""What was decided about the versions of one lineage: scores of their episodes, verdicts, promotions and roll-backs.

All of it only grows. So of two copies, of which either may lack what the other has, the union is what is known.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from actors.evaluation import Purpose
from cluster.models.blocks import parse_scores_key, scores_key

Verdict = Literal["promoted", "rejected", "superseded"]
Blocks = dict[Purpose, dict[int, list[float]]]
"""Raw scores of a version at a game, by purpose and number of the block of episodes."""


@dataclass(frozen=True)
class Promotion:
    """A change of what a lineage's names point at.

    Attributes:
        version: the version that they point at now.
        parent: the one before, or None.
        names: the names.
        scores: by game, `mean`, `interval`, `episodes` of the version when that was decided.
        time: seconds since 1970.
        why: one sentence.
        kind: a promotion by the rule, or a roll-back by a user.
    """

    version: int
    parent: int | None
    names: tuple[str, ...]
    scores: dict[str, dict[str, Any]]
    time: float
    why: str
    kind: Literal["promotion", "roll-back"] = "promotion"

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Promotion":
        """Return the promotion that was written as JSON; raises KeyError or TypeError if it is damaged."""
        values: dict[str, Any] = {**row, "names": tuple(row["names"])}
        return cls(**values)


@dataclass(frozen=True)
class Decisions:
    """All that was decided about a lineage.

    Attributes:
        promotions: and roll-backs, oldest first.
        verdicts: by version, `verdict` and `why`.
        scores: raw, by `scores_key`.
    """

    promotions: tuple[Promotion, ...] = ()
    verdicts: Mapping[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])
    scores: Mapping[str, list[float]] = field(default_factory=dict[str, list[float]])

    def merged(self, other: "Decisions") -> "Decisions":
        """Return what this or the other one has; where they differ, this one is right."""
        return Decisions(
            _merged(self.promotions, other.promotions),
            {**other.verdicts, **self.verdicts},
            {**other.scores, **self.scores},
        )

    @property
    def names(self) -> dict[str, int]:
        """What promotions and roll-backs have pointed names at."""
        return {name: promotion.version for promotion in self.promotions for name in promotion.names}

    @cached_property
    def blocks(self) -> Mapping[int, Mapping[str, Blocks]]:
        """All raw scores by version and game."""
        found: dict[int, dict[str, Blocks]] = {}
        for key, scores in self.scores.items():
            version, game, purpose, block = parse_scores_key(key)
            found.setdefault(version, {}).setdefault(game, {}).setdefault(purpose, {})[block] = scores
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "promotions": [asdict(promotion) for promotion in self.promotions],
            "verdicts": {str(version): dict(given) for version, given in self.verdicts.items()},
            "scores": dict(self.scores),
        }

    @classmethod
    def from_json(cls, rows: Mapping[str, Any]) -> "Decisions":
        """Return what `to_json` wrote, today or in format 1.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: if it is damaged.
        """
        return cls(
            tuple(Promotion.from_json(row) for row in rows["promotions"]),
            {int(version): {"verdict": given["verdict"], **given} for version, given in rows["verdicts"].items()},
            {scores_key(*parse_scores_key(key)): [float(score) for score in s] for key, s in rows["scores"].items()},
        )


def _merged(mine: tuple[Promotion, ...], others: tuple[Promotion, ...]) -> tuple[Promotion, ...]:
    """Return both, in the order in which they were made; where neither copy knows it, by their times."""
    same = 0
    while same < min(len(mine), len(others)) and mine[same] == others[same]:
        same += 1
    known = mine[same:]
    tail = (*known, *(promotion for promotion in others[same:] if promotion not in known))
    if len(tail) > len(known) > 0:
        tail = sorted(tail, key=lambda promotion: promotion.time)
    return (*mine[:same], *tail)
