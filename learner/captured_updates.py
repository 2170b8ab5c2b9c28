"""Updates as CUDA graphs: each is launched at once as a whole, and what came of them is read now and then.

An update of a small network is a hundred kernels of a few microseconds each. To launch them one by one takes a core
five times as long as the device needs to run them; a graph is one launch (PyTorch, "CUDA semantics", CUDA graphs).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, cast

import torch

from distill.typed_torch import numbers, register_generator
from learner.replay import Batch

MOST_AHEAD = 50
"""Updates that the host may be ahead of the device, of which it has not read what came."""
MOST_SECONDS_AHEAD = 0.1
EAGER_UPDATES = 3
"""Of every game, before the next is captured: they make what is made once, as the optimizer's state is."""


@dataclass(frozen=True)
class Finished:
    """An update that the device has made.

    Attributes:
        game: of its minibatch.
        outcome: loss, norm of the gradients, mean version of the minibatch.
        numbers: [B] int64 of its transitions, on the device.
        seconds: that it took, the mean of those read together.
    """

    game: str
    outcome: Sequence[float]
    numbers: torch.Tensor
    seconds: float


class CapturedUpdates(Generic[Batch]):
    """One graph a game, over one pool of memory; they are launched one after the other on the device's default stream.

    Args:
        enqueue: asks the current stream for an update of a game and waits for nothing; returns [3] float32 as
            `Finished.outcome`, and the minibatch.
        generator: on the device, from which `enqueue` draws.
        batch_size: B.
        device: a CUDA device.
    """

    def __init__(
        self,
        enqueue: Callable[[str], tuple[torch.Tensor, Batch]],
        generator: torch.Generator,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._enqueue = enqueue
        self._generator = generator
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}
        self._minibatches: dict[str, Batch] = {}
        self._eager = Counter[str]()
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._outcomes = torch.zeros((MOST_AHEAD, 3), device=device)
        self._numbers = torch.zeros((MOST_AHEAD, batch_size), dtype=torch.int64, device=device)
        self._games: list[str] = []
        self._since = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to `finish`; before as many updates as the host may be ahead it has to be."""
        return len(self._games) >= MOST_AHEAD or time.perf_counter() - self._since >= MOST_SECONDS_AHEAD

    def launch(self, game: str) -> None:
        """Ask the device for an update of a game."""
        if not self._games:
            self._since = time.perf_counter()
        if game not in self._graphs and self._eager[game] == EAGER_UPDATES:
            self._graphs[game] = self._captured(game)
        if game in self._graphs:
            self._graphs[game].replay()
        else:
            self._eager[game] += 1
            self._run_eagerly(game)
        self._games.append(game)

    def finish(self) -> list[Finished]:
        """Wait for all updates that were asked for, and return them in their order."""
        if not self._games:
            return []
        outcomes = cast("list[list[float]]", numbers(self._outcomes[: len(self._games)]))
        seconds = (time.perf_counter() - self._since) / len(self._games)
        finished = [
            Finished(game, outcome, self._numbers[row], seconds)
            for row, (game, outcome) in enumerate(zip(self._games, outcomes, strict=True))
        ]
        self._games.clear()
        self._row.zero_()
        return finished

    def minibatch(self, game: str) -> Batch:
        """Return a game's newest minibatch; it is written over by its next update."""
        return self._minibatches[game]

    def _record(self, game: str) -> None:
        outcome, batch = self._enqueue(game)
        self._minibatches[game] = batch
        self._outcomes.index_copy_(0, self._row, outcome[None])
        self._numbers.index_copy_(0, self._row, batch.numbers[None])
        self._row.add_(1)

    def _run_eagerly(self, game: str) -> None:
        # On the stream of the captures: what autograd makes for a parameter belongs to the stream on which it is used.
        default = torch.cuda.default_stream(self._device)
        self._stream.wait_stream(default)
        with torch.cuda.stream(self._stream):
            self._record(game)
        default.wait_stream(self._stream)

    def _captured(self, game: str) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        register_generator(graph, self._generator)
        # The feed's thread may ask the device for something meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            self._record(game)
        return graph
