"""Whole episodes as they are asked for and as they were played; without PyTorch, for those who only pass them on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

from distill.errors import RunError
from distill.evaluation_protocols import DISTILL, EvaluationProtocol
from distill.scores import GameScore

Purpose = Literal["look", "fresh", "curve"]
"""What episodes are for: the looks that decide on a candidate; fresh ones of a model once it is the best, since those
that chose it flatter it; those for the curves, which all versions of a run's last half play with the same seeds."""


@dataclass(frozen=True)
class EvaluationTask:
    """Whole episodes to play.

    Attributes:
        who: `teacher`, `student` or `candidate`.
        game: ROM name.
        version: its version in the registry; 0 for a model given as bytes.
        model: the model file as bytes, or None to fetch `version` of `lineage`.
        episodes: number of episodes.
        lanes: emulators.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
        lineage: lineage of models that the version is of.
        purpose: what for.
        block: number of these episodes among the version's blocks for that purpose, from 0.
        protocol: how episodes begin, go on and end.
    """

    who: str
    game: str
    version: int
    model: bytes | None
    episodes: int
    lanes: int
    epsilon: float
    seed: int
    lineage: str = "student"
    purpose: Purpose = "look"
    block: int = 0
    protocol: EvaluationProtocol = DISTILL


@dataclass(frozen=True)
class Evaluation:
    """Whole episodes that one version played at one game.

    Attributes:
        game: ROM name.
        who: `teacher`, `student`, or another name of the player.
        version: the version that played.
        scores: raw score of every episode, lane-major: all of lane 0, then all of lane 1, and so on.
        lengths: control steps of every episode, in the same order.
        lanes: number of lanes, each with the same number of episodes.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
        max_frames: emulator frames after which an episode was cut off.
        noop_max: bound of the no-ops that begin an episode.
        steps: control steps of all episodes together.
        seconds: wall-clock time spent playing.
    """

    game: str
    who: str
    version: int
    scores: tuple[float, ...]
    lengths: tuple[int, ...]
    lanes: int
    epsilon: float
    seed: int
    max_frames: int
    noop_max: int
    steps: int
    seconds: float

    def score(self) -> GameScore:
        """Return the statistics of the scores."""
        return GameScore.of(self.game, self.who, self.version, self.scores)

    def card_entry(self) -> dict[str, Any]:
        """Return what a model card says about these scores."""
        score = self.score()
        return {
            "version": self.version,
            "episodes": score.episodes,
            "mean": score.mean,
            "standard_deviation": score.standard_deviation,
            "interquartile_mean": score.iqm,
            "human_normalised": score.human_normalised,
            "scores": list(self.scores),
            "epsilon": self.epsilon,
            "noop_max": self.noop_max,
            "max_frames": self.max_frames,
            "seed": self.seed,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON values."""
        return {
            name: list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_json` wrote.

        Raises:
            RunError: if fields are missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            raise RunError(f"stored evaluation: expected the fields {sorted(names)}, found {sorted(data)}")
        values = dict(data)
        values["scores"] = tuple(float(score) for score in data["scores"])
        values["lengths"] = tuple(int(length) for length in data["lengths"])
        return cls(**values)
