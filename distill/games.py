"""Atari games by their ROM names: action sets, reference scores and environments with the paper's preprocessing."""

import csv
import enum
import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from distill.errors import ConfigError
from distill.words import nearest, shown

# With ale-py comes Gymnasium: who only reads what a run has left does not wait for them.
if TYPE_CHECKING:
    import ale_py
    from ale_py.vector_env import AtariVectorEnv

FRAME_SHAPE = (84, 84)
FRAME_BYTES = 84 * 84
STACK = 4
OBSERVATION_SHAPE = (STACK, *FRAME_SHAPE)
MAX_ACTIONS = 18
FRAMES_PER_STEP = 4
MAX_EPISODE_FRAMES = 108_000
NOOP_MAX = 30
"""Up to 30 no-ops begin an episode; ale-py draws 0 to 29 of them."""

PREPROCESSING: dict[str, str | int | bool | float] = {
    "observation": "4x84x84 uint8 / 255, oldest frame first, zero-filled at reset",
    "frame_skip": FRAMES_PER_STEP,
    "max_pool": True,
    "grayscale": True,
    "fire_reset": True,
    "full_action_space": False,
    "repeat_action_probability": 0.0,
}
"""What a network must have been trained with. It stands in every model file, and a mismatch is an error."""


_TWO_PLAYER_GAMES = {"combat", "joust", "maze_craze", "warlords"}
"""ale-py bundles their ROMs, but its emulator for one player ends the whole process when it loads one."""


@dataclass(frozen=True)
class ReferenceScore:
    """The usual random and human scores of a game, as human-normalised scores use them."""

    random: float
    human: float


class _LoggerModes(Protocol):
    """The class `ale_py.LoggerMode`, whose members ale-py gives no types."""

    @property
    def Error(self) -> "ale_py.LoggerMode": ...  # noqa: N802 - ale-py's name


class Emulator(Protocol):
    """The part of `ale_py.ALEInterface` that is used here, with the types that ale-py leaves out."""

    def loadROM(self, rom: str, /) -> None:  # noqa: N802 - ale-py's name
        """Load a game from the file of its ROM."""
        ...

    def getScreenDims(self) -> tuple[int, int]:  # noqa: N802 - ale-py's name
        """Return height and width of the screen."""
        ...


@dataclass(frozen=True)
class _Game:
    """One row of the table of games."""

    actions: tuple[str, ...]
    scores: ReferenceScore | None


@functools.cache
def _games() -> dict[str, _Game]:
    """Read the table of games: ALE would load each game's ROM to tell its actions, which takes 0.07 s a game."""
    text = resources.files("distill").joinpath("atari_games.csv").read_text(encoding="utf-8")
    return {
        row["game"]: _Game(
            tuple(row["actions"].split()),
            ReferenceScore(float(row["random"]), float(row["human"])) if row["random"] else None,
        )
        for row in csv.DictReader(text.splitlines())
    }


@functools.cache
def known_games() -> tuple[str, ...]:
    """Return the ROM names that ale-py bundles and plays for one player, sorted."""
    return tuple(sorted(_games()))


def require_known(game: str, *, like: str | None = None) -> str:
    """Return `game` if it is the ROM name of a game that ale-py plays.

    Args:
        game: ROM name.
        like: what to look for near names of, if that is not `game` itself.

    Raises:
        ConfigError: otherwise, with the nearest names.
    """
    if game in _TWO_PLAYER_GAMES:
        raise ConfigError(f"game {shown(game)}: it needs two players; choose a game for one")
    if game not in known_games():
        near = nearest(like or game, known_games(), most=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "use a ROM name such as pong or space_invaders."
        raise ConfigError(f"game {shown(game)}: not one of the {len(known_games())} games that ale-py plays; {hint}")
    return game


def action_meanings(game: str) -> tuple[str, ...]:
    """Return the game's minimal action set by name, in the order of a network's outputs."""
    return _games()[require_known(game)].actions


def load_rom(game: str) -> Emulator:
    """Return an emulator with a game loaded."""
    import ale_py  # noqa: PLC0415 - see above
    from ale_py import roms  # noqa: PLC0415 - the same

    require_known(game)
    ale_py.ALEInterface.setLoggerMode(cast(_LoggerModes, ale_py.LoggerMode).Error)
    emulator = cast(Emulator, ale_py.ALEInterface())
    emulator.loadROM(str(roms.get_rom_path(game)))
    return emulator


def action_count(game: str) -> int:
    """Return A, the size of the game's minimal action set."""
    return len(action_meanings(game))


def reference_score(game: str) -> ReferenceScore | None:
    """Return the random and human reference scores, or None for a game outside the usual 57."""
    found = _games().get(game)
    return None if found is None else found.scores


def make_environment(
    game: str,
    lanes: int,
    *,
    threads: int = 1,
    max_episode_frames: int = MAX_EPISODE_FRAMES,
    sticky_actions: float = 0.0,
    noop_max: int = NOOP_MAX,
    fire_reset: bool = True,
) -> "AtariVectorEnv":
    """Make N emulators of one game with `PREPROCESSING`, raw rewards and no life-loss terminals.

    It resets in NEXT_STEP mode: the step after an end ignores its action and returns the reset observation.

    Args:
        game: ROM name.
        lanes: N, the number of emulators.
        threads: emulator threads of the C++ vector environment.
        max_episode_frames: emulator frames after which an episode is truncated.
        sticky_actions: probability in every frame that the action of the frame before is repeated.
        noop_max: bound of the no-ops that begin an episode.
        fire_reset: whether FIRE is pressed for a frame before these, in games that have it.
    """
    from ale_py.vector_env import AtariVectorEnv  # noqa: PLC0415 - see above

    require_known(game)
    return AtariVectorEnv(
        game,
        num_envs=lanes,
        num_threads=min(threads, lanes),
        max_num_frames_per_episode=max_episode_frames,
        repeat_action_probability=sticky_actions,
        full_action_space=False,
        frameskip=FRAMES_PER_STEP,
        stack_num=STACK,
        maxpool=True,
        grayscale=True,
        noop_max=noop_max,
        use_fire_reset=fire_reset,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
    )


@enum.unique
class SeedStream(enum.IntEnum):
    """What a seed is derived for, so that no two purposes of a run share one; the numbers are part of its results.

    Actors that collect have streams of their own: the bytes of their names, which are larger than these.
    """

    EMULATORS = 0
    """Emulators of one who plays, derived from the player's own seed."""
    FILMS = 3
    """Films at the end of a run."""
    PROMOTION = 4
    """Episodes of candidates, of those that became the best, and of the last half's curves."""
    FINAL = 5
    """The final evaluation: the episodes that chose the best would flatter it."""
    MATCH = 6
    """The match on the live page."""
    COMPARISON = 7
    """Episodes of `distill compare`."""
    DISAGREEMENT = 8
    """Episodes of `distill disagree`."""


def reset_seed(seed: int, *stream: int) -> int:
    """Derive a reset seed that no other stream of the same run uses; a stream begins with a `SeedStream` or a name.

    Seed s of a vector environment covers s to s+N-1, so neighbours' seeds must lie far apart; they must be Python ints.
    """
    return int(np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint32)[0] >> 1)
