"""Trains a Q-network on what explorers play: often a version for the explorers, now and then a candidate."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from distill.architectures import ARCHITECTURES
from distill.errors import BufferUnavailable, RunError
from distill.evaluation_protocols import DISTILL
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from distill.protocols import Services, explorers_lineage
from distill.teach_config import QLearnerConfig
from distill.typed_torch import manual_seed
from learner.device import autocast_dtype, choose_device
from learner.memory import keep_freed_memory
from learner.n_step_replay import NStepReplay, NStepRule
from learner.plans import QPlan
from learner.q_updater import QUpdater
from learner.trainer import PUBLISH_RETRY_SECONDS, Trainer

log = logging.getLogger(__name__)

OUTPUT_SCALE = 0.1
"""Of a new network's last layer: what q-values begin with has to be unlearned, and that costs ReLUs their lives."""


class QTrainer(Trainer):
    """Trains one Q-network on the chunks of its games; see `Trainer`.

    Its first version for explorers is published at once, because they cannot begin without one.

    Args:
        plan: what to train.
        actions: A of every game.
        services: where chunks come from and models go to.
        directory: the run's folder.
        threaded: see `Trainer`.

    Raises:
        RunError: if the initial model is of another architecture or other games.
    """

    stored_as = "float16"
    """As in a teacher file."""

    def __init__(
        self, plan: QPlan, actions: Mapping[str, int], services: Services, directory: Path, *, threaded: bool
    ) -> None:
        training, config = plan.training, plan.learner
        device = choose_device(training.device)
        if device.type == "cpu":
            keep_freed_memory()
        manual_seed(plan.seed)
        rule = NStepRule(config.n_step, config.discount, config.clip_rewards, config.life_loss_ends)
        step_replays = {
            game: NStepReplay(
                rule, training.replay_capacity, plan.chunk_steps, device, compressed=training.replay == "compressed"
            )
            for game in actions
        }
        self._plan = plan
        self._for_explorers = services.registry(explorers_lineage(plan.lineage))
        self._explorers_version = self._for_explorers.resolve("latest") or 0
        super().__init__(
            plan.lineage,
            services.registry(plan.lineage),
            QUpdater(
                _initial_network(plan, actions),
                step_replays,
                config.optimization,
                double=config.double_q,
                target_every=config.target_every,
                device=device,
                dtype=autocast_dtype(device, training.precision),
                seed=plan.seed,
                compile_updates=training.compile,
            ),
            step_replays,
            actions,
            services.reader(0),
            training,
            config.q_batch_size,
            config.pace,
            directory / "checkpoints" / plan.lineage,
            threaded=threaded,
            run_id=services.run_id,
            incarnation=services.incarnation,
        )
        self._explorers_updates = -1
        self._publish_for_explorers()

    @property
    def spent(self) -> float:
        """Share of the environment steps that have been learned from."""
        return sum(self.feed.inserted.values()) / (self._plan.learner.steps * len(self.replays))

    def _versions_due(self) -> int:
        # The first candidate is what it begins with: until one is promoted, a student has no teacher.
        return 1 + sum(self.feed.inserted.values()) // (self._plan.learner.candidate_steps * len(self.replays))

    def _publish_more(self) -> None:
        # Without the first one there are no explorers, without them no data, and so no update after which to publish.
        if time.monotonic() >= self._explorers_at and self._explorers_updates != self.updater.updates:
            self._publish_for_explorers()

    def _publish_for_explorers(self) -> None:
        self._explorers_at = time.monotonic() + self._plan.learner.publish_seconds
        try:
            self._explorers_version = self._for_explorers.publish(
                model_bytes(self.updater.network, self._card()), {"updates": self.updater.updates}
            )
            self._explorers_updates = self.updater.updates
        except BufferUnavailable as error:
            log.warning("explorers of %s play on with version %d: %s", self._lineage, self._explorers_version, error)
            self._explorers_at = time.monotonic() + PUBLISH_RETRY_SECONDS

    def _lag(self) -> dict[str, float]:
        return {game: self._explorers_version - version for game, version in self.updater.sampled_version.items()}

    def _card(self) -> ModelCard:
        network, learner = self.updater.network, self._plan.learner
        training = {
            "method": f"{learner.n_step}-step {'Double ' if learner.double_q else ''}DQN",
            "preset": self._plan.preset,
            "protocol": DISTILL.name,
            "seed": self._plan.seed,
            "commit": self._plan.commit,
            "from_random_weights": self._plan.initial is None,
            "average": learner.q_average,
            **self._metadata(),
        }
        return ModelCard("teacher", network.architecture, network.actions, training=training)


def _initial_network(plan: QPlan, actions: Mapping[str, int]) -> QNetwork:
    architecture = ARCHITECTURES[plan.learner.network]
    if plan.initial is None:
        network = QNetwork(architecture, dict(actions))
        with torch.no_grad():
            for game in actions:
                for parameter in network.controller(game)[-1].parameters():
                    parameter.mul_(OUTPUT_SCALE)
        return network
    network, card = load_model(plan.initial)
    require_initial(card, plan.learner, actions)
    return network


def require_initial(card: ModelCard, learner: QLearnerConfig, actions: Mapping[str, int]) -> None:
    """Check that a Q-learner can begin with a model.

    Args:
        card: the model's.
        learner: of the Q-learner.
        actions: A of every game of it.

    Raises:
        RunError: if the model is of another architecture or other games, or a policy.
    """
    if card.labels == "logits":
        raise RunError("initial model: expected q-values, which a Q-learner goes on with, found the logits of a policy")
    architecture = ARCHITECTURES[learner.network]
    if card.architecture != architecture or dict(card.actions) != dict(actions):
        raise RunError(
            f"initial model: expected {architecture.name} with actions {dict(actions)}, found"
            f" {card.architecture.name} with {dict(card.actions)}; choose --network and --games to fit it"
        )
