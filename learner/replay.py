"""The learner's decoded copy of one game's newest transitions, on the learner's device.

Tables of one game, C = capacity in transitions, R = rows of the frame ring:

    frames   [R + 1, 7056]  uint8    one row a frame; row R is zero and stands for frames from before an episode's start
    labels   [C, A]         float32  teacher q-values
    rows     [C]            int64    row of each transition's newest frame
    ages     [C]            int64    steps since the episode's first observation, at most 3

A chunk of T steps takes T + 3 rows. Transitions are numbered 0, 1, 2, ... in order of arrival; number n lies in slot n
modulo C, and those in [first, last) are there. Observations are gathered where the frames lie, so a minibatch never
crosses a bus.
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from distill.chunks import PREFIX, Chunk, ages
from distill.games import FRAME_BYTES, OBSERVATION_SHAPE


@dataclass(frozen=True)
class Minibatch:
    """B transitions of one game.

    Attributes:
        observations: [B, 4, 84, 84] uint8 on the replay's device.
        q_values: [B, A] float32 on the replay's device.
        numbers: [B] int64 on the replay's device, the transitions' numbers, from which `chunk_of` names their chunks.
    """

    observations: torch.Tensor
    q_values: torch.Tensor
    numbers: torch.Tensor


@dataclass(frozen=True)
class _Span:
    last: int
    rows: int
    name: str


class GameReplay:
    """A ring of transitions of one game. `append` and `sample` may be called from different threads.

    Args:
        actions: A of the game.
        capacity: C, the most transitions held; the oldest chunk makes room for the newest.
        chunk_steps: usual steps per chunk, which sizes the frame ring; shorter chunks hold fewer transitions.
        device: where the tables lie.
    """

    def __init__(self, actions: int, capacity: int, chunk_steps: int, device: torch.device) -> None:
        self.capacity = capacity
        self._row_count = capacity + PREFIX * -(-capacity // chunk_steps)
        self._zero_row = self._row_count
        # Memory is touched, and so taken, only as chunks arrive.
        self._frames = torch.empty((self._row_count + 1, FRAME_BYTES), dtype=torch.uint8, device=device)
        self._frames[self._zero_row] = 0
        self._labels = torch.empty((capacity, actions), dtype=torch.float32, device=device)
        self._rows = torch.empty(capacity, dtype=torch.int64, device=device)
        self._ages = torch.empty(capacity, dtype=torch.int64, device=device)
        self._offsets = torch.arange(PREFIX, -1, -1, device=device)
        self._device = device
        self._spans: deque[_Span] = deque()
        self._used_rows = 0
        self._next_row = 0
        self._first = 0
        self._last = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._last - self._first

    def append(self, chunk: Chunk) -> None:
        """Store a valid chunk and drop the oldest ones that it displaces.

        Raises:
            ValueError: if the chunk alone is larger than the ring.
        """
        steps = chunk.header.steps
        rows = steps + PREFIX
        if steps > self.capacity or rows > self._row_count:
            raise ValueError(f"chunk of {steps} steps: the replay holds {self.capacity} transitions")
        with self._lock:
            while len(self) + steps > self.capacity or self._used_rows + rows > self._row_count:
                oldest = self._spans.popleft()
                self._first = oldest.last
                self._used_rows -= oldest.rows
            at = self._next_row
            newest_rows = (at + PREFIX + np.arange(steps)) % self._row_count
            self._write(self._frames, at, self._row_count, chunk.frames.reshape(rows, FRAME_BYTES))
            slot = self._last % self.capacity
            self._write(self._labels, slot, self.capacity, chunk.q_values)
            self._write(self._rows, slot, self.capacity, newest_rows)
            self._write(self._ages, slot, self.capacity, ages(chunk).astype(np.int64))
            self._next_row = (at + rows) % self._row_count
            self._used_rows += rows
            self._last += steps
            self._spans.append(_Span(self._last, rows, f"{chunk.header.life}/{chunk.header.sequence}"))

    def _write(self, table: torch.Tensor, start: int, size: int, values: np.ndarray) -> None:
        head = min(len(values), size - start)
        for at, part in ((start, values[:head]), (0, values[head:])):
            if len(part):
                target = table[at : at + len(part)]
                if self._device.type == "cpu":
                    np.copyto(target.numpy(), part)
                else:
                    # Decoded columns are read-only views of bytes; torch wants memory that it could write.
                    target.copy_(torch.from_numpy(np.array(part)))

    def sample(self, batch_size: int, generator: torch.Generator) -> Minibatch:
        """Gather B transitions, drawn uniformly with replacement.

        Args:
            batch_size: B.
            generator: random generator on the replay's device.

        Raises:
            ValueError: if the replay is empty.
        """
        with self._lock:
            if not len(self):
                raise ValueError("the replay is empty: append chunks first")
            numbers = torch.randint(self._first, self._last, (batch_size,), generator=generator, device=self._device)
            slots = numbers % self.capacity
            indices = (self._rows[slots, None] - self._offsets) % self._row_count
            indices = torch.where(self._offsets > self._ages[slots, None], self._zero_row, indices)
            frames = self._frames.index_select(0, indices.flatten())
            return Minibatch(frames.view(batch_size, *OBSERVATION_SHAPE), self._labels[slots], numbers)

    def chunk_of(self, number: int) -> str:
        """Return `life/sequence` of the chunk that brought a transition, or `gone` if it has left the ring."""
        with self._lock:
            if number < self._first:
                return "gone"
            return next((span.name for span in self._spans if number < span.last), "gone")
