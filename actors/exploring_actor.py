"""What one exploring process does: it plays with the newest Q-network while that learns from what is played."""

from dataclasses import dataclass
from typing import Literal

from actors.collecting_actor import CollectorStatus, status_of
from actors.collector import Collector
from actors.policy import Policy, warm_policy
from distill.following import Followed, ModelFollower
from distill.inference import make_q_function
from distill.protocols import Services, explorers_lineage
from distill.teach_config import ExploreConfig

FIRST_MODEL_SECONDS = 90.0


@dataclass(frozen=True)
class ExplorerSpec:
    """What it takes to start an explorer, also again after it died.

    Attributes:
        game: ROM name.
        lineage: the Q-learner's lineage of models.
        config: lanes, chunk length and epsilon.
        seed: the run's seed.
        producer: name of the actor, unique in the run.
        index: number of this explorer among those of its game, which spreads their epsilons.
        incarnation: how often it was started before.
        labels: whose q-values go with the steps: those of the network that acts, or of the best so far.
    """

    game: str
    lineage: str
    config: ExploreConfig
    seed: int
    producer: str
    index: int
    incarnation: int
    labels: Literal["acting", "best"] = "acting"


class ExploringActor:
    """A collector driven by the newest Q-network; it fetches one before its first step.

    Where the best network so far labels, the acting one drives every episode, as a driver other than the teacher.
    Before the first promotion the first network labels, as version 0.

    Args:
        spec: what to play.
        services: where chunks go and networks come from.

    Raises:
        BufferUnavailable: if the registry has no network to begin with.
    """

    def __init__(self, spec: ExplorerSpec, services: Services) -> None:
        self._spec = spec
        self._acting = ModelFollower(
            services.registry(explorers_lineage(spec.lineage)),
            "latest",
            lambda network: warm_policy(make_q_function(network), spec.game),
        )
        self._best = (
            ModelFollower(
                services.registry(spec.lineage),
                "best",
                lambda network: warm_policy(make_q_function(network), spec.game),
            )
            if spec.labels == "best"
            else None
        )
        first = self._acting.wait(FIRST_MODEL_SECONDS)
        self._writer = services.writer(spec.game, spec.index)
        self._collector = Collector(
            spec.game,
            first.model,
            self._writer,
            spec.config,
            spec.config.epsilon_start,
            spec.seed,
            spec.producer,
            spec.incarnation,
            spec.config.epsilon_repeat,
            services.run_id,
        )
        self._on_acting(first)

    def _on_acting(self, acting: Followed[Policy]) -> None:
        if self._best is None:
            # It labels its own steps, and who labels picks the actions as long as there is no other driver.
            self._collector.set_teacher(acting.model, acting.version)
        else:
            self._collector.set_driver_share(1.0)
            self._collector.set_driver(acting.model, acting.version)

    def advance(self, seconds: float, game_steps: int, steps: int | None = None) -> CollectorStatus:
        """Play for about `seconds`, or `steps` steps, with the epsilon that is due after `game_steps`."""
        self._collector.set_epsilon(explorer_epsilon(self._spec.config, self._spec.index, game_steps))
        acting = self._acting.poll()
        if acting is not None:
            self._on_acting(acting)
        best = self._best.poll() if self._best is not None else None
        if best is not None:
            self._collector.set_teacher(best.model, best.version)
        counters = self._collector.collect(seconds, steps)
        return status_of(self._spec.producer, self._collector, counters, self._writer.counters)

    def finish(self, timeout: float) -> int:
        """Push what is left within `timeout` seconds and close; return the number of chunks left behind."""
        self._acting.close()
        if self._best is not None:
            self._best.close()
        left = self._collector.flush(timeout)
        self._collector.close()
        return left


def explorer_epsilon(config: ExploreConfig, index: int, game_steps: int) -> float:
    """Return the share of random actions of a game's explorer number `index` after `game_steps` steps of the game.

    It falls linearly from `epsilon_start` to the explorer's own last value, as Ape-X spreads them (Horgan et al. 2018):
    `epsilon_final ** (1 + 0.5 * index / (explorers - 1))`. Explorers that were added later have the last one's.
    """
    spread = min(1.0, index / (config.players - 1)) if config.players > 1 else 0.0
    last = config.epsilon_final ** (1.0 + 0.5 * spread) if config.epsilon_final else 0.0
    done = min(1.0, game_steps / config.epsilon_steps)
    return config.epsilon_start + done * (last - config.epsilon_start)
