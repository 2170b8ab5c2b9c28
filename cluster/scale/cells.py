"""What the scaling experiment measures: a cell for every number of actors and of Redis servers, again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from distill.config import RunConfig, parse_settings

_MIN_REPLAY = 1_000
_REPLAY_CAPACITY = 50_000
_NEVER = 10**9


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        actors: how many there are.
        servers: Redis servers, each with a stream of the game.
        repeat: counted from 1.
    """

    actors: int
    servers: int
    repeat: int

    @property
    def name(self) -> str:
        """Return how it is called on the console."""
        servers = "1 Redis server" if self.servers == 1 else f"{self.servers} Redis servers"
        return f"{self.actors:,} actor{'s' * (self.actors != 1)}, {servers}, repeat {self.repeat}"


@dataclass(frozen=True)
class Settings:
    """What all cells of an experiment have in common, and what decides on their figures.

    Attributes:
        game: ROM name.
        simulate_env: milliseconds in which a simulated actor steps all its lanes once; None for real emulators.
        lanes: emulators of an actor.
        chunk_steps: steps of a chunk.
        learn: whether the learner makes updates; if not, it only takes chunks into its replay.
        sample_to_insert: times that a transition is sampled; None lets both sides run free.
        device: of the learner.
        seconds: length of the measurement.
        warm_up: seconds of play before it.
        buffer: the user's own Redis servers, None for private ones.
        address: of the Ray cluster, None for a Ray of its own.
    """

    game: str
    simulate_env: float | None
    lanes: int
    chunk_steps: int
    learn: bool
    sample_to_insert: float | None
    device: str
    seconds: float
    warm_up: float
    buffer: str | None
    address: str | None

    @property
    def pace(self) -> float | None:
        """Transitions per second of one simulated actor that never waits, None for a real one."""
        return None if self.simulate_env is None else 1000.0 * self.lanes / self.simulate_env

    def identity(self) -> dict[str, Any]:
        """Return what a point keeps of them, to be compared with those of later cells."""
        return asdict(self)

    def run_config(self) -> RunConfig:
        """Return the configuration of a run with such actors and such a learner.

        Raises:
            ConfigError: if they contradict each other.
        """
        return parse_settings(
            RunConfig,
            {
                "lanes": self.lanes,
                "chunk_steps": self.chunk_steps,
                "sample_to_insert": self.sample_to_insert,
                "device": self.device,
                "min_replay": _MIN_REPLAY,
                "replay_capacity": _REPLAY_CAPACITY,
                # It neither ends nor publishes while it is measured.
                "updates": _NEVER,
                "eval_every": _NEVER,
                "checkpoint_seconds": float(_NEVER),
            },
            "scale",
        )


def cells_of(actors: Sequence[int], servers: Sequence[int], repeats: int) -> list[Cell]:
    """Return all cells; repeats lie far apart, so that a machine that changes meanwhile changes all cells alike."""
    return [Cell(a, s, repeat) for repeat in range(1, repeats + 1) for s in servers for a in actors]


def differences(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in which settings two experiments differ, empty if in none."""
    names = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
    return "; ".join(f"{name} {known.get(name)}, now {wanted.get(name)}" for name in names)
