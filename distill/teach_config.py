"""The configuration of `distill teach` and `distill online`: explorers, Q-learner, promotion."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from distill.architectures import ArchitectureName
from distill.config import (
    BufferConfig,
    GeneralConfig,
    LearnerConfig,
    MonitoringConfig,
    Optimization,
    Pace,
    PlayConfig,
    Section,
    Settings,
    Share,
    StudentConfig,
    TrainingConfig,
    require_agreement,
    require_room,
)
from distill.errors import ConfigError
from distill.promotion import Rule

Preset = Literal["fast", "nature"]
PRESETS: dict[Preset, dict[str, Any]] = {
    "fast": {},
    # Mnih et al. 2015, extended data table 1; its update frequency is 4 steps, its memory 1,000,000 of them.
    "nature": {
        "n_step": 1,
        "double_q": False,
        "q_batch_size": 32,
        "q_sample_to_insert": 8.0,
        "q_optimizer": "rmsprop",
        "q_learning_rate": 2.5e-4,
        # Published: 0.01 added to the mean square of gradients that are sums over the 32 transitions, here means.
        "q_epsilon": 0.01**0.5 / 32,
        "q_average": 0.0,
        "target_every": 10_000,
        "replay_capacity": 1_000_000,
        "capacity": 1_000_000,
        "min_replay": 50_000,
        "epsilon_final": 0.1,
        "epsilon_steps": 1_000_000,
    },
}
"""Settings by name that a preset changes; flags and YAML files win over them."""


class TeachGeneralConfig(GeneralConfig):
    """Which games to learn, and where the run is kept."""

    preset: Preset = "fast"
    """Defaults of all other settings: the fastest that was measured, or DQN as it was published in 2015."""
    initial: Path | None = None
    """Teacher file whose weights the Q-learner begins with, instead of random ones."""


class ExploreConfig(PlayConfig):
    """How explorers play."""

    lanes: Annotated[int, Field(ge=1, le=1024)] = 8
    """Emulators per actor."""
    epsilon_start: Share = 1.0
    """Share of uniformly random actions at first."""
    epsilon_final: Share = 0.02
    """Share of uniformly random actions at last: that of the first explorer, the others' are spread below it."""
    epsilon_steps: Annotated[int, Field(ge=1)] = 100_000
    """Steps of a game over which its explorers' epsilon falls."""
    epsilon_repeat: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Most steps that a random action lasts; how many is drawn from a zeta distribution. 128 helps in Freeway."""


class QLearnerConfig(Section):
    """How the Q-learner learns; names that the student's learner has too begin with q."""

    steps: Annotated[int, Field(ge=1)] = 5_000_000
    """Environment steps per game to learn from; the paper's DQN took 50 million."""
    network: ArchitectureName = "teacher"
    """Architecture by the paper's name."""
    n_step: Annotated[int, Field(ge=1, le=64)] = 3
    """Rewards that are summed before the bootstrap value."""
    discount: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99
    """Discount factor of one step."""
    double_q: bool = True
    """Let the online network choose the action that the target network values (Double DQN)."""
    target_every: Annotated[int, Field(ge=1)] = 500
    """Updates between copies of the online network into the target network."""
    clip_rewards: bool = True
    """Learn from rewards clipped to -1 to 1; scores stay raw."""
    life_loss_ends: bool = True
    """Learn as if the loss of a life ended the episode; scores stay those of whole episodes."""
    q_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Transitions per update, all of one game."""
    q_sample_to_insert: Annotated[float | None, Field(gt=0.0)] = 4.0
    """Times that a transition is sampled on average; 4 with batches of 64 is one update every 16 steps."""
    q_sample_to_insert_window: Annotated[float, Field(gt=0.0)] = 16_384.0
    """How many samples one side may run ahead of that ratio before it waits."""
    q_optimizer: Literal["rmsprop", "adamw"] = "adamw"
    """RMSProp, or AdamW, which without weight decay is Adam."""
    q_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 2.5e-4
    """Learning rate."""
    q_epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1.5e-4
    """Damps the steps of small gradients, which kill ReLUs while there are no rewards (Hessel et al. 2018, table 1)."""
    q_max_gradient_norm: Annotated[float, Field(gt=0.0)] = 10.0
    """Gradients are scaled down to this norm."""
    q_average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9998
    """Make candidates of a running average of the weights, of which an update keeps this share; 0 for the newest."""
    publish_seconds: Annotated[float, Field(gt=0.0)] = 10.0
    """Seconds between versions that explorers play with."""
    candidate_steps: Annotated[int, Field(ge=1)] = 100_000
    """Environment steps per game between candidates, which are evaluated and may be promoted."""

    @property
    def optimization(self) -> Optimization:
        """How the Q-learner's gradients become updates."""
        return Optimization(
            batch_size=self.q_batch_size,
            optimizer=self.q_optimizer,
            learning_rate=self.q_learning_rate,
            schedule="constant",
            warmup_updates=0,
            weight_decay=0.0,
            epsilon=self.q_epsilon,
            max_gradient_norm=self.q_max_gradient_norm,
            average=self.q_average,
        )

    @property
    def pace(self) -> Pace:
        """How often the Q-learner may sample."""
        return Pace(self.q_sample_to_insert, self.q_sample_to_insert_window)


class PromotionConfig(Section):
    """When a candidate becomes the best, and how candidates are played."""

    rule: Literal["confident", "new-high"] = "confident"
    """A sequential test on bootstrap probability, or the paper's: a mean above the best mean so far."""
    look_episodes: Annotated[int, Field(ge=2, le=10_000)] = 8
    """Episodes per game between two looks at a candidate's scores."""
    most_episodes: Annotated[int, Field(ge=2, le=100_000)] = 64
    """Episodes per game after which a candidate that is still undecided is not promoted."""
    best_episodes: Annotated[int, Field(ge=2, le=100_000)] = 64
    """Fresh episodes per game that a new best model plays, since those that promoted it flatter it."""
    promote_above: Share = 0.98
    """Probability of being better above which a candidate is promoted."""
    reject_below: Share = 0.3
    """Probability of being better below which a candidate is given up."""
    curve_episodes: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Fresh episodes per game that all versions of the last half play after the training, for curves and spreads."""
    eval_epsilon: Share = 0.05
    """Share of uniformly random actions in an evaluation."""
    final_episodes: Annotated[int, Field(ge=0, le=100_000)] = 200
    """Episodes per game of the evaluation of the best model that ends the run; 0 leaves it out."""
    eval_lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators of an evaluation after the training; each plays the same number of episodes."""

    @property
    def as_rule(self) -> Rule:
        """How candidates are played and promoted."""
        return Rule(
            self.rule,
            self.look_episodes,
            self.most_episodes,
            self.best_episodes,
            self.promote_above,
            self.reject_below,
            self.curve_episodes,
            self.eval_epsilon,
        )

    @model_validator(mode="after")
    def _settings_agree(self) -> "PromotionConfig":
        if self.most_episodes < self.look_episodes:
            raise ConfigError(
                f"most_episodes: found {self.most_episodes}; must be at least look_episodes ({self.look_episodes})"
            )
        if self.reject_below >= self.promote_above:
            raise ConfigError(
                f"reject_below: found {self.reject_below:g}; must be below promote_above ({self.promote_above:g})"
            )
        return self


class TeachConfig(Settings):
    """All settings of `distill teach`."""

    command: ClassVar[str] = "teach"

    general: TeachGeneralConfig = TeachGeneralConfig()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    explore: ExploreConfig = ExploreConfig()
    # What waits unread is old when it is learned from: explorers may be 8,192 steps ahead, not 100,000.
    buffer: BufferConfig = BufferConfig(backlog=8_192)
    training: TrainingConfig = TrainingConfig(min_replay=20_000)
    q_learner: QLearnerConfig = QLearnerConfig()
    promotion: PromotionConfig = PromotionConfig()
    monitoring: MonitoringConfig = MonitoringConfig()

    @model_validator(mode="after")
    def _parts_agree(self) -> "TeachConfig":
        require_agreement(self.training, self.buffer, self.explore)
        require_room(self.q_learner.pace, self.q_learner.q_batch_size, self.explore, "q_")
        return self


class OnlineStudentConfig(StudentConfig):
    """The student network, its loss and its labels."""

    labels: Literal["fresh", "stored"] = "fresh"
    """Label what is sampled with the best teacher so far, or learn only from chunks that it labelled itself."""
    eval_every: Annotated[int, Field(ge=1)] = 20_000
    """Updates between versions of the student, which are evaluated and may be promoted."""


class OnlineConfig(TeachConfig):
    """All settings of `distill online`."""

    command: ClassVar[str] = "online"

    student: OnlineStudentConfig = OnlineStudentConfig(student="net1")
    learner: LearnerConfig = LearnerConfig(
        updates=1_000_000_000, optimizer="adamw", sample_to_insert=4.0, sample_to_insert_window=16_384.0
    )

    @model_validator(mode="after")
    def _student_agrees(self) -> "OnlineConfig":
        require_room(self.learner.pace, self.learner.optimization.batch_size, self.explore, "")
        if self.learner.learners > 1:
            raise ConfigError(
                f"learners: found {self.learner.learners}; only the student of `distill run` can have several, since"
                " Q-learners teach this one and have one each"
            )
        return self
