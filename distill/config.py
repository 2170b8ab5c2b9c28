"""The configuration of a run: every setting, its default, its range, validated once at the edge.

The same names are flags of `distill run` and keys of its YAML file. Inside the program values are trusted.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from distill.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _without_password(url: Any) -> Any:
    """Refuse a URL with a password, and do not repeat it: this setting is shown, logged and stored."""
    if isinstance(url, str) and re.search(r"://.*:.*@|[?&]password=", url):
        raise ConfigError(
            "buffer: expected a URL without a password, found one with it; take it out and set DISTILL_REDIS_USERNAME"
            " and DISTILL_REDIS_PASSWORD_FILE (or DISTILL_REDIS_PASSWORD) in the environment of every process that"
            " connects"
        )
    return url


BufferUrl = Annotated[str, BeforeValidator(_without_password), Field(pattern=r"^(redis|rediss|unix)://")]


class Section(BaseModel):
    """A group of settings; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Say what is wrong as a ConfigError, whoever builds the section: the YAML file, the flags or a test."""
        try:
            return handler(value)
        except ValidationError as error:
            raise ConfigError(_describe(error)) from error


class GeneralConfig(Section):
    """What to distil, and where the run is kept."""

    name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = None
    """Name of the run and of its folder; made from the games and the time if absent."""
    root: Path = Path("runs")
    """Folder that holds the runs."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them; one teacher a game."""
    games: tuple[str, ...] = ()
    """Games to distil, by ROM name; all that have a teacher if empty."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of everything random."""
    serial: bool = False
    """Run collector, learner and evaluator in this one process, without Ray."""
    video: bool = True
    """At the end, film one episode of the student per game."""


class StudentConfig(Section):
    """The student network and its loss."""

    student: Literal["teacher", "net1", "net2", "net3", "one_percent", "multi3", "multi10"] = "multi3"
    """Architecture by the paper's name; every game gets an output layer, or controller, of its own."""
    loss: Literal["kl", "nll", "mse"] = "kl"
    """KL to the sharpened teacher, NLL of its best action, or MSE of its q-values."""
    tau: Annotated[float, Field(gt=0.0, le=100.0)] = 0.01
    """Temperature that divides the teacher's q-values before the softmax of the KL loss."""


class CollectConfig(Section):
    """How the teachers play."""

    actors: Annotated[int, Field(ge=1, le=1024)] = 1
    """Collecting actors per game."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators per actor."""
    env_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Emulator threads per actor."""
    chunk_steps: Annotated[int, Field(ge=8, le=1024)] = 128
    """Steps per chunk."""
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

    buffer: BufferUrl | None = None
    """URL of your own Redis, without a password; a private server is started if absent."""
    capacity: Annotated[int, Field(ge=2_048)] = 540_000
    """Newest transitions kept per game: ten hours of play."""
    backlog: Annotated[int, Field(ge=1_000)] = 100_000
    """Unread transitions per game above which producers must wait."""
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    """Streams per game."""


class LearnerConfig(Section):
    """How the student learns."""

    updates: Annotated[int, Field(ge=1)] = 5_000_000
    """Updates to make; 5 million are the paper's single-game budget."""
    minutes: Annotated[float | None, Field(gt=0.0)] = None
    """Minutes of training after which the run ends even if updates are left; the learning-rate schedule follows."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Observations per update, all of one game."""
    optimizer: Literal["rmsprop", "adamw"] = "rmsprop"
    """RMSProp as in the paper, or AdamW."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 2.5e-4
    """Peak learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or cosine decay to 0 at the end of the budget."""
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Updates over which the learning rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Decoupled weight decay of AdamW."""
    max_gradient_norm: Annotated[float, Field(gt=0.0)] = 10.0
    """Gradients are scaled down to this norm."""
    replay_capacity: Annotated[int, Field(ge=2_048)] = 540_000
    """Transitions per game in the learner's replay."""
    min_replay: Annotated[int, Field(ge=1)] = 5_000
    """Transitions of every game that must be there before the first update."""
    sample_to_insert: Annotated[float | None, Field(gt=0.0)] = 6.0
    """Times that a transition is sampled on average, held by making the faster side wait; `None` lets both run free."""
    sample_to_insert_window: Annotated[float, Field(gt=0.0)] = 200_000.0
    """How many samples one side may run ahead of that ratio before it waits."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Device of the learner and its replay."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the trunk; auto is bfloat16 where the hardware has it. Labels, last layer and loss stay float32."""
    learner_threads: Annotated[int, Field(ge=0, le=256)] = 0
    """CPU threads of the learner; 0 takes the cores that collectors and evaluator leave, at least 1 and at most 8."""
    checkpoint_seconds: Annotated[float, Field(gt=0.0)] = 60.0
    """Seconds between checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=1_000)] = 3
    """Newest checkpoints kept; the best by score is kept beside them."""


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


class RunConfig(Section):
    """All settings of `distill run`."""

    general: GeneralConfig = GeneralConfig()
    student: StudentConfig = StudentConfig()
    collect: CollectConfig = CollectConfig()
    buffer: BufferConfig = BufferConfig()
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _settings_agree(self) -> "RunConfig":
        learner = self.learner
        if learner.min_replay > learner.replay_capacity:
            raise ConfigError(
                f"min_replay: found {learner.min_replay}; must be at most replay_capacity ({learner.replay_capacity})"
            )
        ratio, window = learner.sample_to_insert, learner.sample_to_insert_window
        # One update or one chunk must always fit inside the window, or both sides could wait for each other for ever.
        if ratio is not None:
            least = 2 * max(learner.batch_size, ratio * self.collect.chunk_steps)
            if window < least:
                raise ConfigError(
                    f"sample_to_insert_window: found {window:g}; must be at least {least:g}, twice the larger of a"
                    " minibatch and a chunk's samples, or learner and actors would wait for each other for ever"
                )
        if self.buffer.backlog < self.collect.chunk_steps * self.collect.lanes:
            raise ConfigError(
                f"backlog: found {self.buffer.backlog}; must be at least lanes x chunk_steps"
                f" ({self.collect.chunk_steps * self.collect.lanes})"
            )
        return self


def flatten(config: RunConfig) -> dict[str, Any]:
    """Return all settings by name as plain values; no two sections share a name."""
    return {key: value for section in config.model_dump(mode="json").values() for key, value in section.items()}


def parse_settings(settings: Mapping[str, Any], source: str) -> RunConfig:
    """Return the configuration that settings by name describe; what is absent keeps its default.

    Args:
        settings: for example `{"games": ["pong"], "batch_size": 64}`.
        source: where they come from, for messages.

    Raises:
        ConfigError: naming every key that is unknown or out of range, what was found and what is allowed.
    """
    section_of = {key: name for name, section in _sections().items() for key in section.model_fields}
    unknown = [key for key in settings if key not in section_of]
    if unknown:
        hints = [f"{key!r}{_nearest(str(key), section_of)}" for key in unknown]
        raise ConfigError(f"{source}: unknown setting {'; '.join(hints)}; `distill run --help` lists them all")
    document: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        document.setdefault(section_of[key], {})[key] = value
    try:
        return RunConfig.model_validate(document)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _describe(error: ValidationError) -> str:
    """Return every problem as `key: what is allowed, found what`."""
    problems: list[str] = []
    for problem in error.errors(include_url=False):
        key = next((str(part) for part in reversed(problem["loc"]) if isinstance(part, str)), "")
        message = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{key}: {message}, found {problem['input']!r}" if key else message)
    return "; ".join(problems)


def _sections() -> dict[str, type[Section]]:
    return {name: cast(type[Section], field.annotation) for name, field in RunConfig.model_fields.items()}


def _nearest(key: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
