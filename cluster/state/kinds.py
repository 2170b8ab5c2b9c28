"""What `distill run`, `teach` and `online` differ in, as one value; nothing else asks which of them a run is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cluster.models.lineage import Lineage
from cluster.state.recorded_data import with_recording
from distill.config import CARD_BATCH_SIZE, CollectConfig, RunConfig, StudentConfig
from distill.errors import ConfigError
from distill.games import action_count
from distill.promotion import Rule, Scores
from distill.protocols import STUDENT
from distill.teach_config import ExploreConfig, OnlineConfig, TeachConfig
from distill.teachers import TeacherFile, choose_teachers, require_labels
from learner.plans import Plan, QPlan, StudentPlan

AnyConfig = RunConfig | TeachConfig
"""Of any kind of run; `OnlineConfig` is a `TeachConfig` with a student."""

Plans = Mapping[str, tuple[Plan, Mapping[str, int]]]
"""What each lineage's learner trains, and A of its games, by the lineage's name."""

_FIXED = ("name", "root", "games")
_FIXED_Q_LEARNER = ("network", "n_step", "discount", "clip_rewards", "life_loss_ends", "q_optimizer")
_FIXED_STUDENT = ("student", "optimizer")


@dataclass(frozen=True)
class Collecting:
    """Fixed teachers play and label.

    Attributes:
        config: how.
    """

    config: CollectConfig
    role: Literal["collector"] = "collector"

    @property
    def actors(self) -> int:
        """Players per game."""
        return self.config.players


@dataclass(frozen=True)
class Exploring:
    """The Q-networks that learn play.

    Attributes:
        config: how.
        labels: whose q-values go with the steps: those of the network that acts, or of the best one so far.
    """

    config: ExploreConfig
    labels: Literal["acting", "best"]
    role: Literal["explorer"] = "explorer"

    @property
    def actors(self) -> int:
        """Players per game."""
        return self.config.players


@dataclass(frozen=True)
class Recorded:
    """Nobody plays: fixed teachers have played and labelled before, and what they did was recorded.

    Attributes:
        data: the recording's folder.
        config: of which only the steps per chunk say something.
    """

    data: Path
    config: CollectConfig
    actors: Literal[0] = 0


@dataclass(frozen=True)
class FinalEvaluation:
    """How the best models are played when the training has ended.

    Attributes:
        episodes: per game; 0 leaves it out.
        lanes: emulators of an evaluator.
        epsilon: share of uniformly random actions.
    """

    episodes: int
    lanes: int
    epsilon: float


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        lineages: what learns, the student's last.
        playing: who plays for the buffer.
        rule: how versions are evaluated and promoted; without the scores of fixed teachers, see `ruled_by`.
        final: the evaluation at the end.
        fixed: settings that a resumed run keeps.
        paces: samples per transition that each lineage's learner holds, None for no limit.
        updates: budget of the leading learner in updates; None if it is in steps.
        student: the student's network and loss, None without one.
        taught: whether the student's teachers are fixed files.
        learners: processes that learn, of all lineages.
    """

    lineages: tuple[Lineage, ...]
    playing: Collecting | Exploring | Recorded
    rule: Rule
    final: FinalEvaluation
    fixed: tuple[str, ...]
    paces: Mapping[str, float | None]
    updates: int | None
    student: StudentConfig | None
    taught: bool
    learners: int

    @property
    def players(self) -> Collecting | Exploring | None:
        """Those who play for the buffer; None where transitions were recorded before."""
        return None if isinstance(self.playing, Recorded) else self.playing

    @property
    def data(self) -> Path | None:
        """The folder of the recording; None where somebody plays."""
        return self.playing.data if isinstance(self.playing, Recorded) else None

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of a run's actors."""
        players = () if self.players is None else (self.players.role,)
        return (*players, "learner", "evaluator", "coordinator")

    @property
    def leading(self) -> tuple[Lineage, ...]:
        """The lineages with whose budget the run ends."""
        return tuple(lineage for lineage in self.lineages if lineage.leads)

    def teacher_of(self, game: str) -> Lineage | None:
        """Return the lineage of which a game's teachers come, None if its teacher is a fixed file."""
        found = (lineage for lineage in self.lineages if lineage.who == "candidate" and game in lineage.games)
        return next(found, None)

    def leader_of(self, game: str) -> Lineage:
        """Return the leading lineage that learns a game."""
        return next(lineage for lineage in self.leading if game in lineage.games)

    def lineage(self, name: str) -> Lineage:
        """Return the lineage of that name."""
        return next(lineage for lineage in self.lineages if lineage.name == name)

    def ruled_by(self, teachers: Scores) -> Rule:
        """Return the rule with the raw scores of the fixed teachers, if it is one that compares with them."""
        return replace(self.rule, teachers=teachers) if self.taught else self.rule


def kind_of(config: AnyConfig) -> Kind:
    """Return what the run of a configuration, whose games are resolved, does."""
    games = config.general.games
    if isinstance(config, RunConfig):
        evaluation, data = config.evaluation, config.general.data
        return Kind(
            lineages=(Lineage(STUDENT, games, "student", ("best", "production")),),
            playing=Collecting(config.collect) if data is None else Recorded(data, config.collect),
            rule=evaluation.as_rule({}),
            final=FinalEvaluation(evaluation.final_episodes, evaluation.eval_lanes, evaluation.eval_epsilon),
            fixed=(*_FIXED, *_FIXED_STUDENT, "data"),
            paces={STUDENT: config.learner.sample_to_insert},
            updates=config.learner.updates,
            student=config.student,
            taught=True,
            learners=config.learner.learners,
        )
    promotion = config.promotion
    online = config if isinstance(config, OnlineConfig) else None
    # A student learns from each game's own Q-learner; without a student one Q-learner may play several games.
    names = [(game, (game,)) for game in games] if online else [("-".join(games), games)]
    lineages = [Lineage(name, played, "candidate", ("best",)) for name, played in names]
    paces: dict[str, float | None] = {name: config.q_learner.q_sample_to_insert for name, _ in names}
    if online:
        lineages.append(Lineage(STUDENT, games, "student", ("best", "production"), leads=False))
        paces[STUDENT] = online.learner.sample_to_insert
    return Kind(
        lineages=tuple(lineages),
        playing=Exploring(config.explore, "best" if online and online.student.labels == "stored" else "acting"),
        rule=promotion.as_rule,
        final=FinalEvaluation(promotion.final_episodes, promotion.eval_lanes, promotion.eval_epsilon),
        fixed=(*_FIXED, *_FIXED_Q_LEARNER, *((*_FIXED_STUDENT, "labels") if online else ())),
        paces=paces,
        updates=None,
        student=online.student if online else None,
        taught=False,
        learners=len(lineages),
    )


def with_teachers(config: AnyConfig) -> tuple[AnyConfig, dict[str, TeacherFile]]:
    """Return a configuration with its games named, and the fixed teacher of each; none where Q-learners teach.

    Raises:
        ConfigError: if no game is named and none can be found out, a game has no teacher or two, or a teacher's labels
            do not fit the loss.
        ModelFileError: if a file is not a teacher.
        RunError: if the data to learn from are damaged.
    """
    general = config.general
    if isinstance(config, RunConfig) and config.general.data is not None:
        config, teachers = with_recording(config, config.general.data)
        require_labels(teachers, config.student.loss)
        return config, teachers
    if isinstance(config, RunConfig):
        teachers = choose_teachers(config.general.teachers, general.games)
        require_labels(teachers, config.student.loss)
        named = general.model_copy(update={"games": tuple(teachers)})
        return config.model_copy(update={"general": named}), teachers
    if not general.games:
        raise ConfigError(f"games: name one or more, as in `distill {config.command} --game pong`")
    return config, {}


def with_players(config: AnyConfig, count: int) -> AnyConfig:
    """Return a configuration with that many players per game."""
    name, play = ("collect", config.collect) if isinstance(config, RunConfig) else ("explore", config.explore)
    return config.model_copy(update={name: play.model_copy(update={"actors": count})})


def with_learner(config: AnyConfig, *, on_card: bool) -> AnyConfig:
    """Return a configuration with the student's batch size and rate chosen, where there is one.

    A student that learns beside its teacher keeps its batch size on a card too: nobody has measured another one there.
    """
    if isinstance(config, RunConfig):
        # Several learners share a batch evenly.
        whole = CARD_BATCH_SIZE % config.learner.learners == 0
        return config.model_copy(update={"learner": config.learner.chosen(on_card=on_card and whole)})
    if isinstance(config, OnlineConfig):
        return config.model_copy(update={"learner": config.learner.chosen(on_card=False)})
    return config


def initial_model(config: AnyConfig) -> Path | None:
    """Return the model file that the Q-learners begin with, if there is one."""
    return None if isinstance(config, RunConfig) else config.general.initial


def student_plan(config: RunConfig, taus: Mapping[str, float] | None = None) -> StudentPlan:
    """Return what the learner of a student of fixed teachers trains; `taus` as in `plans_of`."""
    return StudentPlan(
        config.student,
        config.training,
        config.learner,
        config.collect.chunk_steps,
        config.evaluation.eval_every,
        config.general.seed,
        taus=taus or {},
    )


def plans_of(
    config: AnyConfig, kind: Kind, commit: str, initial: bytes | None, taus: Mapping[str, float] | None = None
) -> Plans:
    """Return what each lineage's learner trains, and A of its games, by the lineage's name.

    Args:
        config: of the run.
        kind: of the run.
        commit: commit of this program, for the models' cards.
        initial: the model file that the Q-learners begin with, None without one.
        taus: temperatures of games whose fixed teachers do not label with q-values, see `taus_of`.
    """
    training, seed = config.training, config.general.seed
    steps = kind.playing.config.chunk_steps
    plans: dict[str, Plan] = {}
    if isinstance(config, RunConfig):
        plans[STUDENT] = student_plan(config, taus)
    else:
        general = config.general
        for number, lineage in enumerate(kind.leading):
            plans[lineage.name] = QPlan(
                lineage.name,
                training,
                config.q_learner,
                steps,
                seed + 1000 * number,
                general.preset,
                commit,
                initial,
            )
        if isinstance(config, OnlineConfig):
            plans[STUDENT] = StudentPlan(
                config.student,
                training,
                config.learner,
                steps,
                config.student.eval_every,
                seed,
                rank=1,
                teachers={game: kind.leader_of(game).name for game in general.games},
                labels=config.student.labels,
            )
    return {
        name: (plan, {game: action_count(game) for game in kind.lineage(name).games}) for name, plan in plans.items()
    }
