"""The student's update: distillation loss on observations that a teacher has labelled."""

import copy
from collections.abc import Mapping

import torch

from distill.config import Optimization, StudentConfig
from distill.losses import distillation_loss
from distill.networks import QNetwork
from distill.typed_torch import in_channels_last
from learner.gradient_updater import GradientUpdater
from learner.label_replay import LabelledMinibatch, LabelReplay
from learner.ranks import Ranks


class FreshLabels:
    """Labels sampled observations with each game's present teacher, in float32, instead of the labels stored with them.

    It turns off the TF32 of convolutions in this process: a sharp softmax would make wrong labels of errors of 1e-3.

    Args:
        device: where observations lie and teachers are put.
    """

    def __init__(self, device: torch.device) -> None:
        torch.backends.cudnn.allow_tf32 = False
        self._device = device
        self._teachers: dict[str, QNetwork] = {}

    def set_teacher(self, game: str, network: QNetwork) -> None:
        """Label a game from now on with the weights that this network has now.

        A game's later teachers have to be of its first one's architecture. They come into the same place, from which a
        captured update reads.
        """
        if game in self._teachers:
            self._teachers[game].load_state_dict(network.state_dict())
        else:
            own = copy.deepcopy(network).to(self._device).requires_grad_(False)
            self._teachers[game] = in_channels_last(own)

    @torch.no_grad()
    def __call__(self, observations: torch.Tensor, game: str) -> torch.Tensor:
        """Return q-values [B, A] float32 of [B, 4, 84, 84] uint8 observations of a game, which must have a teacher."""
        return self._teachers[game](observations.contiguous(memory_format=torch.channels_last), game)


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
        compile_updates: see `GradientUpdater`.
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
        *,
        compile_updates: bool = False,
    ) -> None:
        super().__init__(network, replays, settings, device, dtype, seed, ranks, compile_updates=compile_updates)
        self._student = student
        self._labels = labels
        self._taus = dict.fromkeys(replays, student.tau) | dict(taus or {})

    def _loss(self, batch: LabelledMinibatch, game: str) -> torch.Tensor:
        labels = batch.q_values if self._labels is None else self._labels(batch.observations, game)
        outputs = self._forward(self.network, batch.observations, game)
        return distillation_loss(self._student.loss, outputs, labels, self._taus[game]).mean()
