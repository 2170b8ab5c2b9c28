"""One update of a network: choose a game, gather, loss, backward, step. No threads, no files, no clock."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from distill.config import Optimization
from distill.errors import RunError
from distill.histograms import BOUNDS, Histogram
from distill.networks import QNetwork
from distill.typed_torch import numbers
from learner.ranks import Ranks
from learner.replay import GameReplay
from learner.rmsprop import RMSProp
from learner.weight_average import WeightAverage

MAX_NONFINITE_IN_A_ROW = 10
LIFE_CHECK_EVERY = 500
"""Updates between two checks that the network still tells observations apart."""
MAX_BLIND_IN_A_ROW = 3
SEED_STRIDE = 1_000_003
"""Between the samplers' seeds of two ranks."""


class Minibatch(Protocol):
    """What all minibatches have in common."""

    @property
    def observations(self) -> torch.Tensor:
        """[B, 4, 84, 84] uint8."""
        ...

    @property
    def versions(self) -> torch.Tensor:
        """[B] int64, teacher version of every transition's chunk."""
        ...

    @property
    def numbers(self) -> torch.Tensor:
        """[B] int64, from which the replay's `chunk_of` names the chunks."""
        ...


Batch = TypeVar("Batch", bound=Minibatch)


@dataclass(frozen=True)
class Update:
    """What one update did.

    Attributes:
        game: the game of its minibatch.
        loss: mean loss of the minibatch, of all ranks' together where there are several.
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


def make_optimizer(network: QNetwork, settings: Optimization) -> torch.optim.Optimizer:
    """Make the optimizer: RMSProp as in the paper, or AdamW."""
    parameters, rate, epsilon = network.parameters(), settings.learning_rate, settings.epsilon
    if settings.optimizer == "rmsprop":
        return RMSProp(parameters, rate, epsilon)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=settings.weight_decay, eps=epsilon, fused=True)


def learning_rate(settings: Optimization, updates: int, spent: float) -> float:
    """Return the learning rate after `updates` updates and a share `spent` (0 to 1) of the run's budget."""
    rate = settings.learning_rate
    if updates < settings.warmup_updates:
        return rate * (updates + 1) / settings.warmup_updates
    if settings.schedule == "cosine":
        return rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, spent)))
    return rate


class GradientUpdater(ABC, Generic[Batch]):
    """Trains one network on the replays of its games, one game per minibatch (paper, multi-game distillation).

    Args:
        network: what is trained, moved to `device`.
        replays: one replay a game, on the same device.
        settings: batch size and optimizer.
        device: where everything is computed.
        dtype: the trunk's reduced dtype, or None for float32.
        seed: seed of minibatch and game sampling.
        ranks: those that make every update together, each on a minibatch of its own of the same game; None for one.
    """

    def __init__(
        self,
        network: QNetwork,
        replays: Mapping[str, GameReplay[Batch]],
        settings: Optimization,
        device: torch.device,
        dtype: torch.dtype | None,
        seed: int,
        ranks: Ranks | None = None,
    ) -> None:
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing in torch's stub
        self.optimizer = make_optimizer(self.network, settings)
        self._average = WeightAverage(self.network, settings.average) if settings.average else None
        self.updates = 0
        self.nonfinite_updates = 0
        self.sampled_version: dict[str, float] = {}
        """Mean teacher version of the newest minibatch of every game."""
        self.histograms = {kind: {game: Histogram(BOUNDS[kind]) for game in replays} for kind in ("update", "gather")}
        """Seconds of every update, and of the gather in it, by game."""
        self._replays = dict(replays)
        self._games = sorted(replays)
        self._settings = settings
        self._device = device
        self._dtype = dtype
        self._nonfinite_in_a_row = 0
        self._blind_in_a_row = 0
        self._ranks = ranks
        self.sampler = torch.Generator(device).manual_seed(seed + (0 if ranks is None else SEED_STRIDE * ranks.rank))
        self.game_chooser = torch.Generator("cpu").manual_seed(seed + 1)

    @property
    def networks(self) -> dict[str, QNetwork]:
        """The networks whose weights a checkpoint keeps, by name."""
        return {"network": self.network} | ({"average": self._average.network} if self._average else {})

    @property
    def judged(self) -> QNetwork:
        """The network that is evaluated and may be promoted: of averaged weights, if there is an average."""
        return self._average.network if self._average else self.network

    @abstractmethod
    def _loss(self, batch: Batch, game: str) -> torch.Tensor:
        """Return the mean loss of a minibatch."""

    def update(self, spent: float) -> Update:
        """Make one update on a minibatch of one game, drawn uniformly.

        Args:
            spent: share of the run's budget that is spent, which the learning rate follows.

        Raises:
            RunError: after ten updates in a row whose loss or gradient was not finite, with the chunks named; or if the
                network has died, see `_check_life`.
        """
        game = self._games[int(torch.randint(len(self._games), (1,), generator=self.game_chooser))]
        began = time.perf_counter()
        batch = self._replays[game].sample(self._settings.batch_size, self.sampler)
        self.histograms["gather"][game].observe(time.perf_counter() - began)
        rate = learning_rate(self._settings, self.updates, spent)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, game)
        torch.autograd.backward(loss)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        loss, versions = loss.detach(), batch.versions.float().mean()
        if self._ranks is not None:
            # What is not finite in one rank is not finite in the mean: all skip the update, or none.
            self._ranks.average([*gradients, loss, versions])
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        # One transfer for all that is wanted on the host: every one waits for the device.
        loss_value, norm_value, version = numbers(torch.stack((loss, norm, versions)))
        self.updates += 1
        self.sampled_version[game] = version
        finite = math.isfinite(loss_value) and math.isfinite(norm_value)
        if finite:
            self._step(norm, norm_value)
        else:
            self._skip(game, batch, loss_value, norm_value)
        if self._average:
            self._average.follow(self.updates)
        if self.updates % LIFE_CHECK_EVERY == 0:
            self._check_life(batch.observations, game)
        self.histograms["update"][game].observe(time.perf_counter() - began)
        return Update(game, loss_value, finite)

    def _step(self, norm: torch.Tensor, norm_value: float) -> None:
        self._nonfinite_in_a_row = 0
        if norm_value > self._settings.max_gradient_norm:
            torch.nn.utils.clip_grads_with_norm_(
                self.network.parameters(), self._settings.max_gradient_norm, norm, foreach=True
            )
        self.optimizer.step()

    def _skip(self, game: str, batch: Batch, loss: float, norm: float) -> None:
        self.nonfinite_updates += 1
        self._nonfinite_in_a_row += 1
        if self._nonfinite_in_a_row >= MAX_NONFINITE_IN_A_ROW:
            chunks = sorted(self._chunks_of(game, batch))
            raise RunError(
                f"learner of {game}: {self._nonfinite_in_a_row} updates in a row were not finite (loss {loss}, gradient"
                f" norm {norm}) and were skipped; the last minibatch came from the chunks {', '.join(chunks)}."
                " Lower the learning rate, or look at these chunks."
            )

    def _chunks_of(self, game: str, batch: Batch) -> set[str]:
        """Return the names of the chunks that a minibatch came from, of all ranks' minibatches."""
        chunks = {self._replays[game].chunk_of(int(number)) for number in numbers(batch.numbers)}
        if self._ranks is None:
            return chunks
        return {chunk for said in self._ranks.gather("\n".join(chunks).encode()) for chunk in said.decode().split("\n")}

    @torch.inference_mode()
    def _check_life(self, observations: torch.Tensor, game: str) -> None:
        """Raise RunError if outputs were the same for all observations several times in a row.

        Large first steps can leave a layer of ReLUs with negative inputs for every observation (Lu et al. 2019, "Dying
        ReLU"). Nothing behind it gets a gradient any more, while loss and gradient norm look healthy.
        """
        outputs = self.network(observations, game)
        # What float32 leaves of a difference between equal sums is far below a millionth.
        blind = bool((outputs.amax(0) - outputs.amin(0)).max() <= 1e-6 * outputs.abs().max())
        self._blind_in_a_row = self._blind_in_a_row + 1 if blind and len(observations) > 1 else 0
        if self._blind_in_a_row >= MAX_BLIND_IN_A_ROW:
            since = (self._blind_in_a_row - 1) * LIFE_CHECK_EVERY
            raise RunError(
                f"learner of {game}: the network is dead, for {since} updates it has given the same outputs for all"
                " observations of a minibatch. No more training mends that: begin anew with a lower learning rate; a"
                " student also with a longer warm-up, a Q-learner with a larger epsilon of its optimizer."
            )

    def _forward(self, network: QNetwork, observations: torch.Tensor, game: str) -> torch.Tensor:
        """Return q-values [B, A] float32 in the learner's precision for [B, 4, 84, 84] uint8 of any layout."""
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
            return network(observations.contiguous(memory_format=torch.channels_last), game)
