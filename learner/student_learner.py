"""One update of the student: gather, forward, distillation loss, backward, step. No threads, no files, no clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from distill.config import LearnerConfig, StudentConfig
from distill.errors import RunError
from distill.losses import distillation_loss
from distill.networks import QNetwork
from learner.replay import GameReplay, Minibatch

MAX_NONFINITE_IN_A_ROW = 10


@dataclass(frozen=True)
class Update:
    """What one update did.

    Attributes:
        game: the game of its minibatch.
        loss: mean loss of the minibatch.
        finite: False if loss or gradient was not finite and the update was skipped.
    """

    game: str
    loss: float
    finite: bool


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the trunk's reduced dtype, or None for float32; `auto` takes bfloat16 where the hardware multiplies it."""
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities = torch.cpu.get_capabilities()
            native = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
        return torch.bfloat16 if native else None
    return torch.bfloat16 if precision == "bfloat16" else None


def make_optimizer(network: QNetwork, config: LearnerConfig) -> torch.optim.Optimizer:
    """Make the optimizer; the paper names RMSProp without its constants, these are those of the DQN that it distils."""
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=config.learning_rate, alpha=0.95, eps=1e-6, foreach=True)
    return torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, eps=1e-6, fused=True
    )


def learning_rate(config: LearnerConfig, updates: int, progress: float) -> float:
    """Return the learning rate after `updates` updates, when `progress` (0 to 1) of the run's budget is spent."""
    rate = config.learning_rate
    if updates < config.warmup_updates:
        return rate * (updates + 1) / config.warmup_updates
    if config.schedule == "cosine":
        return rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return rate


class StudentLearner:
    """Trains one student on the replays of its games.

    Args:
        network: the student, moved to `device`.
        replays: one replay a game, on the same device.
        student: loss and temperature.
        config: batch size, optimizer and precision.
        device: where everything is computed.
        seed: seed of minibatch and game sampling.
    """

    def __init__(
        self,
        network: QNetwork,
        replays: Mapping[str, GameReplay],
        student: StudentConfig,
        config: LearnerConfig,
        device: torch.device,
        seed: int,
    ) -> None:
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing in torch's stub
        self.optimizer = make_optimizer(self.network, config)
        self.updates = 0
        self.nonfinite_updates = 0
        self._replays = dict(replays)
        self._games = sorted(replays)
        self._student = student
        self._config = config
        self._device = device
        self._dtype = autocast_dtype(device, config.precision)
        self._nonfinite_in_a_row = 0
        self.sampler = torch.Generator(device).manual_seed(seed)
        self.game_chooser = torch.Generator("cpu").manual_seed(seed + 1)

    def update(self, progress: float) -> Update:
        """Make one update on a minibatch of one game, drawn uniformly (paper, multi-game distillation).

        Args:
            progress: share of the run's budget that is spent, which the learning rate follows.

        Raises:
            RunError: after ten updates in a row whose loss or gradient was not finite, with the chunks named.
        """
        game = self._games[int(torch.randint(len(self._games), (1,), generator=self.game_chooser))]
        batch = self._replays[game].sample(self._config.batch_size, self.sampler)
        rate = learning_rate(self._config, self.updates, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, game)
        loss.backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        loss_value, norm_value = torch.stack((loss.detach(), norm)).tolist()
        self.updates += 1
        if not (math.isfinite(loss_value) and math.isfinite(norm_value)):
            self._skip(game, batch, loss_value, norm_value)
            return Update(game, loss_value, finite=False)
        self._nonfinite_in_a_row = 0
        if norm_value > self._config.max_gradient_norm:
            torch.nn.utils.clip_grads_with_norm_(
                self.network.parameters(), self._config.max_gradient_norm, norm, foreach=True
            )
        self.optimizer.step()
        return Update(game, loss_value, finite=True)

    def _loss(self, batch: Minibatch, game: str) -> torch.Tensor:
        observations = batch.observations.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
            outputs = self.network(observations, game)
        return distillation_loss(self._student.loss, outputs, batch.q_values, self._student.tau).mean()

    def _skip(self, game: str, batch: Minibatch, loss: float, norm: float) -> None:
        self.nonfinite_updates += 1
        self._nonfinite_in_a_row += 1
        if self._nonfinite_in_a_row >= MAX_NONFINITE_IN_A_ROW:
            chunks = sorted({self._replays[game].chunk_of(int(number)) for number in batch.numbers.tolist()})
            raise RunError(
                f"student of {game}: {self._nonfinite_in_a_row} updates in a row were not finite (loss {loss}, gradient"
                f" norm {norm}) and were skipped; the last minibatch came from the chunks {', '.join(chunks)}."
                " Lower the learning rate, or look at these chunks' q-values."
            )
