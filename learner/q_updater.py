"""The Q-learner's update: n-step Double DQN with a target network and the Huber loss."""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from distill.config import Optimization
from distill.networks import QNetwork
from learner.gradient_updater import GradientUpdater
from learner.n_step_replay import NStepMinibatch, NStepReplay


class QUpdater(GradientUpdater[NStepMinibatch]):
    """Trains one Q-network on n-step transitions; the target is r + discount * Q_target(successor, a).

    The action a is the online network's best one (van Hasselt et al. 2015) or, without `double`, the target network's.

    Args:
        network: the online network, moved to `device`.
        replays: one replay a game, on the same device.
        settings: batch size and optimizer.
        double: whether the online network chooses the action.
        target_every: updates after which the target network becomes the online one.
        device: where everything is computed.
        dtype: the trunk's reduced dtype, or None for float32.
        seed: seed of minibatch and game sampling.
        compile_updates: see `GradientUpdater`.
    """

    def __init__(
        self,
        network: QNetwork,
        replays: Mapping[str, NStepReplay],
        settings: Optimization,
        *,
        double: bool,
        target_every: int,
        device: torch.device,
        dtype: torch.dtype | None,
        seed: int,
        compile_updates: bool = False,
    ) -> None:
        super().__init__(network, replays, settings, device, dtype, seed, compile_updates=compile_updates)
        self._double = double
        self._target_every = target_every
        self.target = copy.deepcopy(self.network).requires_grad_(False)

    @property
    def networks(self) -> dict[str, QNetwork]:
        """The networks whose weights a checkpoint keeps, by name."""
        return super().networks | {"target": self.target}

    def _follow(self) -> None:
        """Renew the target network too when it is due."""
        super()._follow()
        if self.updates % self._target_every == 0:
            self.target.load_state_dict(self.network.state_dict())

    def _loss(self, batch: NStepMinibatch, game: str) -> torch.Tensor:
        with torch.no_grad():
            values = self._forward(self.target, batch.successors, game)
            chooser = self._forward(self.network, batch.successors, game) if self._double else values
            best = values.gather(1, chooser.argmax(dim=1, keepdim=True)).squeeze(1)
            targets = batch.returns + batch.discounts * best
        outputs = self._forward(self.network, batch.observations, game)
        return F.huber_loss(outputs.gather(1, batch.actions[:, None]).squeeze(1), targets)
