"""One update of a network: choose a game, gather, loss, backward, step. No threads, no files.

Where every update waits for the host, as on a CPU, the host decides: it reads loss and norm, and makes the step or
skips it. On a CUDA device an update is launched as a graph and the host is ahead of it (`CapturedUpdates`): the device
itself skips a step that is not finite, and the host reads now and then what came of the updates. What is done is the
same.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import torch

from distill.config import Optimization
from distill.errors import RunError
from distill.histograms import BOUNDS, Histogram
from distill.networks import QNetwork
from distill.typed_torch import compiled, in_channels_last, numbers
from learner.captured_updates import CapturedUpdates
from learner.optimizer import learning_rate, make_optimizer, set_rate
from learner.ranks import Ranks
from learner.replay import Batch, GameReplay
from learner.weight_average import WeightAverage

MAX_NONFINITE_IN_A_ROW = 10
LIFE_CHECK_EVERY = 500
"""Updates between two checks that the network still tells observations apart."""
MAX_BLIND_IN_A_ROW = 3
SEED_STRIDE = 1_000_003
"""Between the samplers' seeds of two ranks."""


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


def _verdict(outcome: torch.Tensor, limit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what to divide gradients by so that their norm keeps to a limit, and 1.0 if the step is to be left out."""
    scale = (outcome[1] / limit).clamp(min=1.0)
    return scale, torch.isfinite(outcome[:2]).all().logical_not().float()


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
        compile_updates: compile what can be of an update that is a CUDA graph, before each game's first.
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
        *,
        compile_updates: bool = False,
    ) -> None:
        self.network = in_channels_last(network.to(device))
        # Several ranks meet within an update, and frames that are compressed are gathered by the host.
        captures = device.type == "cuda" and ranks is None and all(replay.on_device for replay in replays.values())
        self.optimizer = make_optimizer(self.network, settings, capturable=captures)
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
        self._rate = settings.learning_rate
        self._nonfinite_in_a_row = 0
        self._blind_in_a_row = 0
        self._ranks = ranks
        self.sampler = torch.Generator(device).manual_seed(seed + (0 if ranks is None else SEED_STRIDE * ranks.rank))
        self.game_chooser = torch.Generator("cpu").manual_seed(seed + 1)
        # What can be compiled of a captured update: all but random numbers, backward, norm and step.
        compiling = captures and compile_updates
        self._draw_captured = compiled(self._draw) if compiling else self._draw
        self._verdict_captured = compiled(_verdict) if compiling else _verdict
        self._captured = CapturedUpdates(self._enqueue, self.sampler, settings.batch_size, device) if captures else None

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

    def update(self, spent: float) -> Sequence[Update]:
        """Make one update on a minibatch of one game, drawn uniformly.

        Args:
            spent: share of the run's budget that is spent, which the learning rate follows.

        Returns:
            The updates of which the outcome is known now: this one, or on a CUDA device none or many; see `finish`.

        Raises:
            RunError: after ten updates in a row whose loss or gradient was not finite, with the chunks named; or if the
                network has died, see `_check_life`.
        """
        game = self._games[int(torch.randint(len(self._games), (1,), generator=self.game_chooser))]
        rate = learning_rate(self._settings, self.updates, spent)
        if rate != self._rate:
            set_rate(self.optimizer, rate)
            self._rate = rate
        self.updates += 1
        if self._captured is None:
            return [self._update_at_once(game)]
        with self._replays[game].steady():
            self._captured.launch(game)
        self._follow()
        life_due = self.updates % LIFE_CHECK_EVERY == 0
        finished = self.finish() if life_due or self._captured.due else ()
        if life_due:
            self._check_life(self._captured.minibatch(game).observations, game)
        return finished

    def finish(self) -> Sequence[Update]:
        """Wait for the device, and return the updates of which the outcome was not known before.

        Raises:
            RunError: as `update` does.
        """
        if self._captured is None:
            return []
        return [self._note(each.game, each.outcome, each.numbers, each.seconds) for each in self._captured.finish()]

    def _update_at_once(self, game: str) -> Update:
        """Make one update, and wait for what comes of it."""
        began = time.perf_counter()
        batch = self._replays[game].sample(self._settings.batch_size, self.sampler)
        self.histograms["gather"][game].observe(time.perf_counter() - began)
        self.optimizer.zero_grad(set_to_none=True)
        outcome = self._differentiate(self._loss(batch, game), batch.versions)
        # One transfer for all that is wanted on the host: every one waits for the device.
        loss, norm, version = numbers(outcome)
        if math.isfinite(loss) and math.isfinite(norm):
            limit = self._settings.max_gradient_norm
            self.optimizer.grad_scale = outcome[1] / limit if norm > limit else None
            self.optimizer.step()
        self._follow()
        if self.updates % LIFE_CHECK_EVERY == 0:
            self._check_life(batch.observations, game)
        return self._note(game, (loss, norm, version), batch.numbers, time.perf_counter() - began)

    def _differentiate(self, loss: torch.Tensor, versions: torch.Tensor) -> torch.Tensor:
        """Leave the gradients of a minibatch's loss, of all ranks' together, in the network.

        Returns:
            [3] float32: loss, norm of the gradients, and mean of the minibatch's versions.
        """
        torch.autograd.backward(loss)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        loss, version = loss.detach(), versions.float().mean()
        if self._ranks is not None:
            # What is not finite in one rank is not finite in the mean: all skip the update, or none.
            self._ranks.average([*gradients, loss, version])
        return torch.stack((loss, torch.nn.utils.get_total_norm(gradients, foreach=True), version))

    def _draw(self, game: str, randoms: torch.Tensor) -> tuple[torch.Tensor, Batch]:
        """Return the loss of the minibatch that [B] random integers draw, and the minibatch."""
        batch = self._replays[game].draw(randoms)
        return self._loss(batch, game), batch

    def _enqueue(self, game: str) -> tuple[torch.Tensor, Batch]:
        """Ask the device for an update, the step or its omission included, without waiting for anything.

        Returns:
            What `_differentiate` does, and the minibatch.
        """
        randoms = self._replays[game].randoms(self._settings.batch_size, self.sampler)
        self.optimizer.zero_grad(set_to_none=True)
        loss, batch = self._draw_captured(game, randoms)
        outcome = self._differentiate(loss, batch.versions)
        # The optimizer divides by the one while it reads the gradients, and makes no step if the other is 1.
        scale, left_out = self._verdict_captured(outcome, self._settings.max_gradient_norm)
        self.optimizer.grad_scale, self.optimizer.found_inf = scale, left_out
        self.optimizer.step()
        return outcome, batch

    def _follow(self) -> None:
        """Let what follows the network's weights follow them."""
        if self._average:
            self._average.follow(self.updates)

    def _note(self, game: str, outcome: Sequence[float], drawn: torch.Tensor, seconds: float) -> Update:
        """Note what came of an update, and return it.

        Args:
            game: of its minibatch.
            outcome: loss, norm of the gradients, and mean version of the minibatch.
            drawn: [B] int64 numbers of its transitions.
            seconds: that it took.
        """
        loss, norm, version = outcome
        self.sampled_version[game] = version
        self.histograms["update"][game].observe(seconds)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self._nonfinite_in_a_row = 0
        else:
            self._note_skipped(game, loss, norm, drawn)
        return Update(game, loss, finite)

    def _note_skipped(self, game: str, loss: float, norm: float, drawn: torch.Tensor) -> None:
        self.nonfinite_updates += 1
        self._nonfinite_in_a_row += 1
        if self._nonfinite_in_a_row >= MAX_NONFINITE_IN_A_ROW:
            chunks = sorted(self._chunks_of(game, drawn))
            raise RunError(
                f"learner of {game}: {self._nonfinite_in_a_row} updates in a row were not finite (loss {loss}, gradient"
                f" norm {norm}) and were skipped; the last minibatch came from the chunks {', '.join(chunks)}."
                " Lower the learning rate, or look at these chunks."
            )

    def _chunks_of(self, game: str, drawn: torch.Tensor) -> set[str]:
        """Return the names of the chunks of [B] numbered transitions, and of those of all other ranks."""
        chunks = {self._replays[game].chunk_of(int(number)) for number in numbers(drawn)}
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
