"""How whole episodes are played: this project's fixed way, and those by which other people's numbers were made.

Observations are the same in all of them, `distill.games.PREPROCESSING`; so are raw rewards and four frames a step. What
they differ in changes scores all the same: a Breakout network that was trained where FIRE is pressed after every lost
life may never press it itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from distill.games import MAX_EPISODE_FRAMES, NOOP_MAX

Fire = Literal["never", "frame", "steps"]
"""`frame`: ale-py presses FIRE for one frame before the no-ops, in games that have it. `steps`: after the no-ops one
control step of FIRE and one of the action behind it, as the `FireResetEnv` of OpenAI Baselines does."""
LifeLoss = Literal["goes-on", "restarts"]
"""`restarts`: after a lost life comes one no-op step, then what begins an episode (FIRE, an empty stack of frames), as
with the `EpisodicLifeEnv` of OpenAI Baselines. The score is that of the whole game in both cases."""
Padding = Literal["zeros", "first-frame"]
"""What stands in the stack for the frames before the first one."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """How episodes begin, go on and end.

    Attributes:
        name: of whom.
        epsilon: share of uniformly random actions.
        sticky_actions: probability, in every frame, that the action of the frame before is repeated.
        noop_max: bound of the no-ops that begin an episode. ale-py draws 0 to `noop_max - 1` of them, the wrapper of
            OpenAI Baselines 1 to `noop_max`.
        fire: see `Fire`.
        life_loss: see `LifeLoss`.
        padding: see `Padding`.
        max_frames: emulator frames after which an episode is cut off.
        source: where that stands.
    """

    name: str
    epsilon: float
    sticky_actions: float
    noop_max: int
    fire: Fire
    life_loss: LifeLoss
    padding: Padding
    max_frames: int
    source: str

    def told(self) -> str:
        """Return the settings as words."""
        return ", ".join(_told(name, value) for name, value in self.settings().items())

    def settings(self) -> dict[str, Any]:
        """Return what a file keeps of it: all but name and source."""
        return {name: getattr(self, name) for name in _SETTINGS}

    def differences(self, other: "EvaluationProtocol") -> list[str]:
        """Return where another protocol plays in another way, as words; epsilon is none of the emulator's."""
        return [
            f"{_told(name, value)} (here {_told(name, getattr(other, name))})"
            for name, value in self.settings().items()
            if name != "epsilon" and value != getattr(other, name)
        ]

    def changed(self, settings: Mapping[str, Any]) -> "EvaluationProtocol":
        """Return it with other settings; its name says which, and those that are None stay as they are."""
        other = {name: value for name, value in settings.items() if value is not None and value != getattr(self, name)}
        name = "".join([self.name, *(f"+{setting}={value}" for setting, value in other.items())])
        return replace(self, name=name, **other)

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's, with whatever epsilon: only then scores belong beside other models'."""
        return not self.differences(DISTILL)


_SETTINGS = tuple(entry.name for entry in fields(EvaluationProtocol) if entry.name not in ("name", "source"))

DISTILL = EvaluationProtocol(
    "distill", 0.05, 0.0, NOOP_MAX, "frame", "goes-on", "zeros", MAX_EPISODE_FRAMES, "docs/evaluation.md"
)
"""By which everything is labelled, evaluated and compared."""

ProtocolName = Literal["distill", "sb3", "cleanrl", "dopamine", "machado", "nature", "pfrl"]

PROTOCOLS: Mapping[str, EvaluationProtocol] = {
    "distill": DISTILL,
    # `AtariWrapper` around an environment `...NoFrameskip-v4`, which `evaluate_policy` is given as well; a `Monitor`
    # below it counts whole games. rl-zoo's agents end their exploration at 0.01, and play with it in Atari games.
    "sb3": EvaluationProtocol(
        "sb3", 0.01, 0.0, 30, "steps", "restarts", "zeros", 108_000,
        "stable_baselines3/common/atari_wrappers.py; rl-baselines3-zoo: hyperparams/dqn.yml, rl_zoo3/push_to_hub.py",
    ),
    # The same wrappers in the same order below gym's FrameStack, which repeats the first frame.
    "cleanrl": EvaluationProtocol(
        "cleanrl", 0.05, 0.0, 30, "steps", "restarts", "first-frame", 108_000,
        "cleanrl: cleanrl/dqn_atari.py, cleanrl_utils/evals/dqn_eval.py",
    ),
    # 27,000 control steps are 108,000 frames. What its baselines plot is played while it learns, with epsilon 0.01.
    "dopamine": EvaluationProtocol(
        "dopamine", 0.001, 0.25, 0, "never", "goes-on", "zeros", 108_000,
        "dopamine: discrete_domains/atari_lib.py, jax/agents/dqn/configs/dqn.gin",
    ),
    # Sticky actions alone, and the game's own end: what `ALE/...-v5` are registered with. The paper's own networks, of
    # 18 actions and with five frames a step, cannot be played here.
    "machado": EvaluationProtocol(
        "machado", 0.01, 0.25, 0, "never", "goes-on", "zeros", 108_000,
        "Machado et al. 2018, arXiv 1709.06009; ale_py/registration.py",
    ),
    # Five minutes of play.
    "nature": EvaluationProtocol(
        "nature", 0.05, 0.0, 30, "never", "goes-on", "zeros", 18_000, "Mnih et al. 2015, doi 10.1038/nature14236",
    ),
    # `RandomizeAction(env, 0.05)` and 4,500 control steps; a lost life ends an episode of training alone.
    "pfrl": EvaluationProtocol(
        "pfrl", 0.05, 0.0, 30, "never", "goes-on", "first-frame", 18_000,
        "pfrl: examples/atari/reproduction/dqn/train_dqn.py, pfrl/wrappers/atari_wrappers.py",
    ),
}  # fmt: skip
"""By name. The libraries were read in their versions of 2026; for papers alone there is no code to read."""
assert set(PROTOCOLS) == set(get_args(ProtocolName))

_BY_FORMAT = (("Stable-Baselines3", "sb3"), ("sb3-contrib", "sb3"), ("CleanRL", "cleanrl"))
"""Part of a file's format as `distill.importing` calls it, and who writes such files."""


def protocol_of_format(file_format: str) -> dict[str, str]:
    """Return what a card says of the protocol of whoever writes such files; nothing where that is not known."""
    found = [name for part, name in _BY_FORMAT if part in file_format]
    return {"protocol": found[0]} if found else {}


def trained_under(training: Mapping[str, Any]) -> EvaluationProtocol | None:
    """Return the protocol that a card's `training` names, None if it names none that is known."""
    name = training.get("protocol")
    return PROTOCOLS.get(name) if isinstance(name, str) else None


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "epsilon": lambda value: f"epsilon {value:g}",
    "sticky_actions": lambda value: f"sticky actions {value:g}" if value else "no sticky actions",
    "noop_max": lambda value: f"up to {value} no-ops" if value else "no no-ops",
    "fire": {"never": "no FIRE", "frame": "FIRE for a frame", "steps": "FIRE for a step"}.__getitem__,
    "life_loss": {"goes-on": "a lost life ends nothing", "restarts": "a lost life begins anew"}.__getitem__,
    "padding": {"zeros": "a stack of zeros", "first-frame": "a stack of the first frame"}.__getitem__,
    "max_frames": lambda value: f"at most {value:,} frames",
}


def _told(name: str, value: Any) -> str:
    """Return a setting as words."""
    return _WORDS[name](value)
