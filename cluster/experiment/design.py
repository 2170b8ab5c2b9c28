"""What an experiment is, as values: its question, its variants, and the runs that are its cells."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cluster.state.kinds import AnyConfig
from distill.config import RunConfig, flatten, parse_settings
from distill.model_card import read_bounded
from distill.teach_config import OnlineConfig, TeachConfig

Command = Literal["run", "teach", "online"]
_KINDS: dict[Command, type[AnyConfig]] = {"run": RunConfig, "teach": TeachConfig, "online": OnlineConfig}
_LONGEST_GAMES = 100
"""Characters of a folder's name."""


@dataclass(frozen=True)
class Budget:
    """How much a cell may learn from; never wall time, which would make the result one of the machine's.

    Attributes:
        transitions: labelled per game and seed; of a Q-learner, environment steps.
        updates: of a student of one game.
    """

    transitions: int
    updates: int


@dataclass(frozen=True)
class Design:
    """What an experiment is made with.

    Attributes:
        games: ROM names.
        seeds: of the trainings, and of the data that they learn from.
        budget: of every cell.
        teachers: file of every game's teacher.
        episodes: of each network and game at the end of a cell.
    """

    games: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: Budget
    teachers: Mapping[str, Path]
    episodes: int


@dataclass(frozen=True)
class WantedRecording:
    """Play of the teachers that students of one seed learn from, in whatever experiment.

    Attributes:
        games: ROM names.
        seed: of the play.
        transitions: of every game.
    """

    games: tuple[str, ...]
    seed: int
    transitions: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        games = "-".join(self.games)
        if len(games) > _LONGEST_GAMES:
            games = f"{len(self.games)}-games-{hashlib.sha256(games.encode()).hexdigest()[:8]}"
        return f"{games}-{self.transitions}-{self.seed}"


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    Attributes:
        variant: key of what is compared.
        games: that it trains.
        seed: of the run.
        command: which subcommand it is.
        settings: of the run by name, but for those that any run of the experiment has.
        recording: what it learns from; None if it plays itself.
    """

    variant: str
    games: tuple[str, ...]
    seed: int
    command: Command
    settings: Mapping[str, Any]
    recording: WantedRecording | None = None

    @property
    def name(self) -> str:
        """What its folder is called."""
        games = "-".join(self.games) if len(self.games) < 3 else f"{len(self.games)}-games"
        return f"{self.variant}-{games}-{self.seed}"

    def config(self) -> AnyConfig:
        """Return its configuration, without the places of its files. Raises ConfigError if it is none."""
        settings = {"games": self.games, "seed": self.seed, **self.settings}
        return parse_settings(_KINDS[self.command], settings, f"cell {self.name}")

    def identity(self, teachers: Mapping[str, Path]) -> dict[str, Any]:
        """Return as plain values what decides on its scores, by which it is known again.

        Args:
            teachers: file of every game's teacher.
        """
        names = {"games", "seed", *self.settings}
        settings = {name: value for name, value in flatten(self.config()).items() if name in names}
        digests = {game: hashlib.sha256(read_bounded(teachers[game])).hexdigest()[:12] for game in self.games}
        recorded = self.recording.transitions if self.recording else None
        return {"command": self.command, "teachers": digests, "recorded": recorded, **settings}


@dataclass(frozen=True)
class Variant:
    """One of the things that an experiment compares.

    Attributes:
        key: in names of cells and rows of scores.
        label: for readers.
    """

    key: str
    label: str


@dataclass(frozen=True)
class Claim:
    """That one variant scores above another, as a paper says.

    Attributes:
        better: key of the variant.
        worse: key of the other one.
        source: who says so.
    """

    better: str
    worse: str
    source: str = "the paper"


@dataclass(frozen=True)
class Experiment:
    """A question, and how it is answered.

    Attributes:
        name: on the command line.
        title: for readers.
        question: in one sentence.
        variants: what is compared, in the order of the table's columns.
        cells: of a design.
        budget: unless another one is asked for.
        claims: to be held against the scores.
        paper: name of the paper's table, None if it has none.
        fewest_games: that it makes sense with.
        form: how its scores are told: by variants and games, by pairs of games, or as steadiness.
        measures: what else is measured once its cells are there, as a key of `cluster.experiment.measures`.
        remarks: sentences about how it was done.
    """

    name: str
    title: str
    question: str
    variants: tuple[Variant, ...]
    cells: Callable[[Design], Sequence[Cell]]
    budget: Budget = Budget(100_000, 20_000)
    claims: tuple[Claim, ...] = ()
    paper: str | None = None
    fewest_games: int = 1
    form: Literal["ratios", "pairs", "steadiness"] = "ratios"
    measures: Literal["action_gaps", "networks"] | None = None
    remarks: tuple[str, ...] = field(default=())

    def label(self, variant: str) -> str:
        """Return how a variant is told to readers."""
        return next((known.label for known in self.variants if known.key == variant), variant)
