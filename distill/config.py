"""The configuration of a run: every setting, its default, its range, validated once at the edge.

The same names are flags of the subcommand and keys of its YAML file. Inside the program values are trusted.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from distill.architectures import ArchitectureName
from distill.buffer_urls import BufferUrls
from distill.errors import ConfigError
from distill.game_names import Games
from distill.promotion import Rule, Scores
from distill.setting_errors import MOST_PROBLEMS, describe_problems
from distill.setting_values import meant_value
from distill.words import nearest, shown

Share = Annotated[float, Field(ge=0.0, le=1.0)]

Config = TypeVar("Config", bound="Settings")

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""What a run may be called: a plain name of a folder, and no pattern of names anywhere."""
LossKind = Literal["kl", "nll", "mse", "reverse-kl", "jensen-shannon"]
"""The losses of `distill.losses`; the first three are the paper's."""

MOST_ACTORS = 1024
"""Of one game."""


class Section(BaseModel):
    """A group of settings; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Take a value as people write it, whether it comes from a file or from a flag."""
        return meant_value(cls.model_fields[cast(str, info.field_name)].annotation, value)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Say what is wrong as a ConfigError, whoever builds the section: the YAML file, the flags or a test."""
        try:
            return handler(value)
        except ValidationError as error:
            raise ConfigError(describe_problems(error)) from error


class GeneralConfig(Section):
    """Which games to play, and where the run is kept."""

    name: Annotated[str | None, Field(pattern=RUN_NAME)] = None
    """Name of the run and of its folder; made from the games and the time if absent."""
    root: Path = Path("runs")
    """Folder that holds the runs."""
    games: Games = ()
    """Games by ROM name, such as `space_invaders`; ids such as `SpaceInvadersNoFrameskip-v4` are understood."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of everything random."""
    video: bool = True
    """At the end, film one episode of the result per game."""
    serial: bool = False
    """Run everything in this one process, without Ray: for debugging."""
    address: str | None = None
    """Ray cluster to run on, such as `auto` or `ray-head:6379`; a Ray of this run's own is started if absent."""


class DistillConfig(GeneralConfig):
    """What to distil, and where the run is kept."""

    games: Games = ()
    """Games to distil, by ROM name or Gymnasium id; all that have a teacher if empty."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them; one teacher a game."""
    data: Path | None = None
    """Folder of `distill record` to distil from, with its teachers; one process, and nothing is played or buffered."""


class StudentConfig(Section):
    """The student network and its loss."""

    student: ArchitectureName = "multi3"
    """Architecture by the paper's name; every game gets an output layer, or controller, of its own."""
    loss: LossKind = "kl"
    """KL to the sharpened teacher, NLL of its best action, MSE of its q-values, reverse KL, Jensen-Shannon."""
    tau: Annotated[float, Field(gt=0.0, le=100.0)] = 0.01
    """Temperature that divides a teacher's q-values before their softmax. Nll and mse have none, logits have 1."""


class PlayConfig(Section):
    """How an actor's emulators are run."""

    actors: Annotated[int | None, Field(ge=1, le=MOST_ACTORS)] = None
    """Actors per game that collect data; as many as the cores that learner and evaluator leave if absent."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators per actor."""
    env_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Emulator threads per actor."""
    chunk_steps: Annotated[int, Field(ge=8, le=1024)] = 128
    """Steps per chunk."""

    @property
    def players(self) -> int:
        """Actors per game; one before the run has found out how many the machine holds."""
        return self.actors or 1


class CollectConfig(PlayConfig):
    """How the teachers play."""

    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    driver: Literal["teacher", "student", "mixture"] = "teacher"
    """Who picks the actions while the teacher labels."""
    student_share: Share = 0.5
    """With the driver mixture: share of episodes that the student drives once the schedule has ended."""
    student_share_updates: Annotated[int, Field(ge=1)] = 50_000
    """With the driver mixture: learner updates over which that share rises from 0."""


class BufferConfig(Section):
    """The buffer service."""

    buffer: BufferUrls | None = None
    """URL of your own Redis without a password, or several separated by commas; a private one is started if absent."""
    capacity: Annotated[int, Field(ge=2_048)] = 540_000
    """Newest transitions kept per game: ten hours of play."""
    backlog: Annotated[int, Field(ge=1_000)] = 100_000
    """Unread transitions per game above which producers must wait."""
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    """Streams per game; actors take them in turn, and they are spread over the servers."""


class TrainingConfig(Section):
    """What every learner keeps and where it computes."""

    minutes: Annotated[float | None, Field(gt=0.0)] = None
    """Minutes of training after which the run ends even if its budget is left; the learning-rate schedule follows."""
    replay_capacity: Annotated[int, Field(ge=2_048)] = 540_000
    """Transitions per game in a learner's replay."""
    replay: Literal["plain", "compressed"] = "plain"
    """Keep frames as they are, 7.2 kB a transition, or compressed in main memory, 0.1 to 0.4 kB, until sampled."""
    min_replay: Annotated[int, Field(ge=1)] = 5_000
    """Transitions of every game that must be there before the first update."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Device of the learner and its replay."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the trunk; auto is bfloat16 where the hardware has it. Labels, last layer and loss stay float32."""
    compile: bool = False
    """On a CUDA device, compile each game's update: takes 4 to 18 s a game, and makes it 1.2 times as fast."""
    learner_threads: Annotated[int, Field(ge=0, le=256)] = 0
    """CPU threads of a learner; 0 takes the cores that actors and evaluator leave, at least 1 and at most 8."""
    checkpoint_seconds: Annotated[float, Field(gt=0.0)] = 60.0
    """Seconds between checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=1_000)] = 3
    """Newest checkpoints kept; the best by score is kept beside them."""


@dataclass(frozen=True)
class Optimization:
    """How gradients become updates.

    Attributes:
        batch_size: transitions per update.
        optimizer: RMSProp as in the paper, or AdamW.
        learning_rate: peak learning rate.
        schedule: after the warm-up, constant or cosine decay to 0 at the end of the budget.
        warmup_updates: updates over which the rate rises linearly from 0.
        weight_decay: decoupled weight decay of AdamW.
        epsilon: what the optimizer adds to the root of a squared gradient's average before it divides by it.
        max_gradient_norm: gradients are scaled down to this norm.
        average: share of the weights' running average that an update keeps; 0 for no average.
    """

    batch_size: int
    optimizer: Literal["rmsprop", "adamw"]
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    warmup_updates: int
    weight_decay: float
    epsilon: float
    max_gradient_norm: float
    average: float


@dataclass(frozen=True)
class Pace:
    """How sampling and inserting are held together; see `SampleToInsertLimiter`."""

    sample_to_insert: float | None
    window: float


BATCH_SIZE, LEARNING_RATE = 32, 2.5e-4
CARD_BATCH_SIZE = 128
"""On a CUDA device an update of 128 takes little longer than one of 32, and with it the actors of 16 cores are what
limits a run. The rate grows as the root of the batch, so that as many samples move the weights about as far."""


class LearnerConfig(Section):
    """How the student learns."""

    updates: Annotated[int, Field(ge=1)] = 5_000_000
    """Updates to make; 5 million are the paper's single-game budget."""
    batch_size: Annotated[int | None, Field(ge=1, le=65_536)] = None
    """Observations per update, all of one game; `None` takes 32, and `run` on a CUDA device 128."""
    learners: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share every update of `distill run`: each has its part of a game's streams, replay and batch."""
    optimizer: Literal["rmsprop", "adamw"] = "rmsprop"
    """RMSProp as in the paper, or AdamW."""
    learning_rate: Annotated[float | None, Field(gt=0.0, le=1.0)] = None
    """Peak learning rate; `None` takes 2.5e-4, and twice that where `batch_size` becomes 128 by itself."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or cosine decay to 0; `online` needs it constant to the end."""
    warmup_updates: Annotated[int, Field(ge=0)] = 500
    """Updates over which the learning rate rises linearly from 0; large first steps can kill a network's ReLUs."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Decoupled weight decay of AdamW."""
    max_gradient_norm: Annotated[float, Field(gt=0.0)] = 10.0
    """Gradients are scaled down to this norm."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Publish a running average of the weights, of which an update keeps this share; 0 publishes the newest weights."""
    sample_to_insert: Annotated[float | None, Field(gt=0.0)] = 6.0
    """Times that a transition is sampled on average, held by making the faster side wait; `None` lets both run free."""
    sample_to_insert_window: Annotated[float, Field(gt=0.0)] = 200_000.0
    """How many samples one side may run ahead of that ratio before it waits."""

    @property
    def optimization(self) -> Optimization:
        """How the student's gradients become updates."""
        return Optimization(
            batch_size=self.batch_size or BATCH_SIZE,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate or LEARNING_RATE,
            schedule=self.schedule,
            warmup_updates=self.warmup_updates,
            weight_decay=self.weight_decay,
            epsilon=1e-6,
            max_gradient_norm=self.max_gradient_norm,
            average=self.average,
        )

    def chosen(self, *, on_card: bool) -> "LearnerConfig":
        """Return these settings with batch size and rate chosen where they are left open."""
        batch_size, rate = self.optimization.batch_size, self.optimization.learning_rate
        if on_card and self.batch_size is None:
            batch_size = CARD_BATCH_SIZE
            if self.learning_rate is None:
                rate = LEARNING_RATE * math.sqrt(CARD_BATCH_SIZE / BATCH_SIZE)
        return self.model_copy(update={"batch_size": batch_size, "learning_rate": rate})

    @property
    def pace(self) -> Pace:
        """How often the student's learner may sample."""
        return Pace(self.sample_to_insert, self.sample_to_insert_window)


class EvaluationConfig(Section):
    """How students are scored."""

    eval_every: Annotated[int, Field(ge=1)] = 50_000
    """Updates between evaluations during the run."""
    eval_episodes: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Episodes per game of an evaluation during the run."""
    final_episodes: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Episodes per game of the evaluation of teachers and best student that ends the run; 0 leaves it out."""
    eval_lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators of an evaluator; each plays the same number of episodes."""
    eval_epsilon: Share = 0.05
    """Share of uniformly random actions in an evaluation."""

    def as_rule(self, teachers: Scores) -> Rule:
        """Return how students are played and promoted, compared with the scores of fixed teachers."""
        episodes = self.eval_episodes
        return Rule("ratio", episodes, episodes, 0, epsilon=self.eval_epsilon, lanes=self.eval_lanes, teachers=teachers)


class MonitoringConfig(Section):
    """How a run is watched."""

    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port that serves the run's metrics to Prometheus; 0 takes a free one and prints it."""
    metrics_host: str = "127.0.0.1"
    """Address or name to listen on, and be asked by; everybody who reaches it can read the metrics."""
    metrics_targets: Path | None = None
    """Folder that Prometheus watches, such as docker/prometheus/targets, to write the address into."""
    dashboard: bool = False
    """Serve the live page of `distill watch` on this machine while the run lives."""
    dashboard_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port of that page; 0 takes a free one and prints it."""
    tensorboard: bool = False
    """Write TensorBoard event files into the run's folder."""
    wandb: bool = False
    """Log to Weights & Biases; its own variables say where, such as WANDB_PROJECT, or WANDB_MODE=offline."""
    mlflow: bool = False
    """Log to MLflow; its own variables say where, MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""
    log_json: bool = False
    """Log one JSON object a line, into run.log and, where there is no live display, to standard error."""


class Settings(Section):
    """All settings of one subcommand; every field is a section, and no two sections share a name of a setting."""

    command: ClassVar[str]
    """The subcommand, for messages."""

    general: GeneralConfig = GeneralConfig()
    buffer: BufferConfig = BufferConfig()
    training: TrainingConfig = TrainingConfig()
    monitoring: MonitoringConfig = MonitoringConfig()


class RunConfig(Settings):
    """All settings of `distill run`."""

    command: ClassVar[str] = "run"

    general: DistillConfig = DistillConfig()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    student: StudentConfig = StudentConfig()
    collect: CollectConfig = CollectConfig()
    buffer: BufferConfig = BufferConfig()
    training: TrainingConfig = TrainingConfig()
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    monitoring: MonitoringConfig = MonitoringConfig()

    @model_validator(mode="after")
    def _settings_agree(self) -> "RunConfig":
        if self.general.data is not None:
            _require_default(self.general, "address")
            _require_default(self.buffer, *type(self.buffer).model_fields)
            _require_default(self.learner, "learners")
            _require_default(self.collect, *(name for name in type(self.collect).model_fields if name != "chunk_steps"))
        require_agreement(self.training, self.buffer, self.collect)
        require_room(self.learner.pace, self.learner.optimization.batch_size, self.collect, "", self.learner.learners)
        if self.learner.learners > 1:
            _require_shares(self)
        return self


def _require_shares(config: RunConfig) -> None:
    """Check that several learners get equal shares. Raises ConfigError, naming the setting that has none for all."""
    learners = config.learner.learners
    found = f"learners: found {learners}"
    if config.general.serial:
        raise ConfigError(f"{found}; --serial runs everything in one process, so leave one of the two out")
    if re.fullmatch(r"cuda:\d+", config.training.device):
        raise ConfigError(f"{found}; each takes a CUDA device of its own, so name the device cuda, not one of them")
    if config.buffer.shards % learners:
        raise ConfigError(
            f"{found}; shards ({config.buffer.shards}) must be a multiple, since each reads streams of its own: raise"
            " --shards, and --actors with it"
        )
    batch_size = config.learner.optimization.batch_size
    if batch_size % learners:
        raise ConfigError(f"{found}; batch_size ({batch_size}) must be a multiple, since it is shared")
    least = config.training.min_replay + learners * config.collect.chunk_steps
    if config.training.replay_capacity < least:
        raise ConfigError(
            f"{found}; replay_capacity ({config.training.replay_capacity}) must be at least min_replay + learners x"
            f" chunk_steps ({least}), since it is shared"
        )


def _require_default(section: Section, *names: str) -> None:
    """Refuse settings that a run of recorded data has no use for. Raises ConfigError, naming the first."""
    for name in names:
        found, default = getattr(section, name), type(section).model_fields[name].default
        if found != default:
            raise ConfigError(
                f"{name}: found {shown(found)}; a run with `data` plays nothing and needs no buffer, so leave it out"
            )


def require_agreement(training: TrainingConfig, buffer: BufferConfig, play: PlayConfig) -> None:
    """Check settings that depend on each other.

    Raises:
        ConfigError: naming both.
    """
    if training.min_replay > training.replay_capacity:
        raise ConfigError(
            f"min_replay: found {training.min_replay}; must be at most replay_capacity ({training.replay_capacity})"
        )
    if play.actors is not None and buffer.shards > play.actors:
        raise ConfigError(
            f"shards: found {buffer.shards}; must be at most actors ({play.actors}), since each actor writes to one"
        )
    least = play.chunk_steps * play.lanes * buffer.shards
    if buffer.backlog < least:
        raise ConfigError(f"backlog: found {buffer.backlog}; must be at least lanes x chunk_steps x shards ({least})")


def require_room(pace: Pace, batch_size: int, play: PlayConfig, prefix: str, learners: int = 1) -> None:
    """Check that one update or one chunk always fits inside the limiter's window, or inside each learner's share of it.

    Raises:
        ConfigError: if learner and actors could wait for each other for ever.
    """
    if pace.sample_to_insert is None:
        return
    least = 2 * max(batch_size, pace.sample_to_insert * play.chunk_steps * learners)
    if pace.window < least:
        chunks = "a chunk's samples" if learners == 1 else f"the samples of a chunk for each of {learners} learners"
        raise ConfigError(
            f"{prefix}sample_to_insert_window: found {pace.window:g}; must be at least {least:g}, twice the larger of a"
            f" minibatch and {chunks}, or learner and actors would wait for each other for ever"
        )


def is_run_name(name: str) -> bool:
    """Return whether a run may be called that."""
    return re.fullmatch(RUN_NAME, name) is not None and not name.endswith("\n")


def flatten(config: Settings) -> dict[str, Any]:
    """Return all settings by name as plain values."""
    return {key: value for section in config.model_dump(mode="json").values() for key, value in section.items()}


def parse_settings(kind: type[Config], settings: Mapping[str, Any], source: str) -> Config:
    """Return the configuration that settings by name describe; what is absent keeps its default.

    Args:
        kind: which subcommand's settings they are.
        settings: for example `{"games": ["pong"], "batch_size": 64}`; `command` may name the subcommand.
        source: where they come from, for messages.

    Raises:
        ConfigError: naming every key that is unknown or out of range, what was found and what is allowed.
    """
    settings = dict(settings)
    # A run's own file can be given as a configuration; its format is that of the folder.
    settings.pop("format", None)
    command = settings.pop("command", kind.command)
    if command != kind.command:
        raise ConfigError(f"{source}: settings of command {shown(command)}, expected those of `distill {kind.command}`")
    section_of = {key: name for name, section in _sections(kind).items() for key in section.model_fields}
    unknown = [key for key in settings if key not in section_of]
    if unknown:
        hints = [f"{shown(key)}{_nearest(str(key), section_of)}" for key in unknown[:MOST_PROBLEMS]]
        raise ConfigError(
            f"{source}: unknown setting {'; '.join(hints)}; `distill {kind.command} --help` lists them all"
        )
    # A subcommand's own defaults can differ from those of a section that it shares with another one.
    document: dict[str, dict[str, Any]] = kind().model_dump()
    for key, value in settings.items():
        document[section_of[key]][key] = value
    try:
        return kind.model_validate(document)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _sections(kind: type[Settings]) -> dict[str, type[Section]]:
    return {name: cast(type[Section], field.annotation) for name, field in kind.model_fields.items()}


def _nearest(key: str, known: Mapping[str, str]) -> str:
    near = nearest(key, known)
    return f" (did you mean {near[0]!r}?)" if near else ""
