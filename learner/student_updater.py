"""The student's update: distillation loss on observations that a teacher has labelled."""

from collections.abc import Mapping

import torch

from distill.config import Optimization, StudentConfig
from distill.losses import distillation_loss
from distill.networks import QNetwork
from learner.gradient_updater import GradientUpdater
from learner.label_replay import LabelledMinibatch, LabelReplay
from learner.ranks import Ranks


class FreshLabels:
    """Labels sampled observations with each game's present teacher, in float32, instead of the labels stored with them.

    Args:
        device: where observations lie and teachers are put.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._teachers: dict[str, QNetwork] = {}

    def set_teacher(self, game: str, network: QNetwork) -> None:
        """Label a game with this network from now on; its weights must not be changed any more."""
        self._teachers[game] = network.to(self._device).requires_grad_(False)

    @torch.no_grad()
    def __call__(self, observations: torch.Tensor, game: str) -> torch.Tensor:
        """Return q-values [B, A] float32 of [B, 4, 84, 84] uint8 observations of a game, which must have a teacher."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._teachers[game](observations, game)


class StudentUpdater(GradientUpdater[LabelledMinibatch]):
    """Trains one student on the replays of its games.

    Args:
        network: the student, moved to `device`.
        replays: one replay a game, on the same device.
        student: loss and temperature.
        settings: batch size and optimizer.
        device: where everything is computed.
        dtype: the trunk's reduced dtype, or None for float32.
        seed: seed of minibatch and game sampling.
        labels: labels what is sampled anew; None takes the labels that came with the chunks.
        taus: temperatures of games whose labels have another one than `student` says.
        ranks: see `GradientUpdater`.
    """

    def __init__(
        self,
        network: QNetwork,
        replays: Mapping[str, LabelReplay],
        student: StudentConfig,
        settings: Optimization,
        device: torch.device,
        dtype: torch.dtype | None,
        seed: int,
        labels: FreshLabels | None = None,
        taus: Mapping[str, float] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(network, replays, settings, device, dtype, seed, ranks)
        self._student = student
        self._labels = labels
        self._taus = dict.fromkeys(replays, student.tau) | dict(taus or {})

    def _loss(self, batch: LabelledMinibatch, game: str) -> torch.Tensor:
        labels = batch.q_values if self._labels is None else self._labels(batch.observations, game)
        outputs = self._forward(self.network, batch.observations, game)
        return distillation_loss(self._student.loss, outputs, labels, self._taus[game]).mean()
