"""The learner's decoded copy of one game's newest transitions, on the learner's device.

Tables of one game, C = capacity in transitions, R = rows of the frame ring:

    frames    [R + 1, 7056]  uint8  one row a frame; row R is zero and stands for frames from before an episode's start
    rows      [C]            int64  row of each transition's newest frame
    ages      [C]            int64  steps since the episode's first observation, at most 3
    versions  [C]            int64  teacher version that its chunk names
    ...                             what a kind of replay keeps beside them

A chunk of T steps takes T + 3 rows. Transitions are numbered 0, 1, 2, ... in order of arrival; number n lies in slot n
modulo C, and those in [first, last) are there. Observations are gathered where the frames lie, so a minibatch never
crosses a bus.
"""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from distill.chunks import PREFIX, Chunk, ages
from distill.games import FRAME_BYTES, OBSERVATION_SHAPE
from distill.typed_torch import from_numpy

Batch = TypeVar("Batch")
"""A kind of replay's minibatch."""

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Span:
    last: int
    rows: int
    version: int
    name: str


class GameReplay(ABC, Generic[Batch]):
    """A ring of transitions of one game. `append` and `sample` may be called from different threads.

    Args:
        capacity: C, the most transitions held; the oldest chunk makes room for the newest.
        chunk_steps: usual steps per chunk, which sizes the frame ring; shorter chunks hold fewer transitions.
        device: where the tables lie.
        columns: shape of a row and dtype of every further table.
    """

    def __init__(
        self,
        capacity: int,
        chunk_steps: int,
        device: torch.device,
        columns: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    ) -> None:
        self.capacity = capacity
        self._row_count = capacity + PREFIX * -(-capacity // chunk_steps)
        self._zero_row = self._row_count
        # Memory is touched, and so taken, only as chunks arrive.
        self._frames = torch.empty((self._row_count + 1, FRAME_BYTES), dtype=torch.uint8, device=device)
        self._frames[self._zero_row] = 0
        every = {"rows": ((), torch.int64), "ages": ((), torch.int64), "versions": ((), torch.int64), **columns}
        self._tables = {
            name: torch.empty((capacity, *shape), dtype=dtype, device=device) for name, (shape, dtype) in every.items()
        }
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

    @abstractmethod
    def _unpack(self, chunk: Chunk) -> tuple[npt.NDArray[np.int64], Columns]:
        """Return [K] the steps of a chunk that become transitions, and [K, ...] of every further table."""

    @abstractmethod
    def _minibatch(self, numbers: torch.Tensor, drawn: Mapping[str, torch.Tensor]) -> Batch:
        """Return the minibatch of [B] numbers and their rows of every table; the caller holds the lock."""

    def append(self, chunk: Chunk) -> None:
        """Store a valid chunk and drop the oldest ones that it displaces.

        Raises:
            ValueError: if the chunk alone is larger than the ring.
        """
        rows = chunk.header.steps + PREFIX
        if chunk.header.steps > self.capacity or rows > self._row_count:
            raise ValueError(f"chunk of {chunk.header.steps} steps: the replay holds {self.capacity} transitions")
        steps, further = self._unpack(chunk)
        with self._lock:
            while len(self) + len(steps) > self.capacity or self._used_rows + rows > self._row_count:
                self._drop_oldest()
            at = self._next_row
            self._write(self._frames, at, self._row_count, chunk.frames.reshape(rows, FRAME_BYTES))
            columns: Columns = {
                "rows": (at + PREFIX + steps) % self._row_count,
                "ages": ages(chunk)[steps].astype(np.int64),
                "versions": np.full(len(steps), chunk.header.teacher_version, np.int64),
                **further,
            }
            for name, values in columns.items():
                self._write(self._tables[name], self._last % self.capacity, self.capacity, values)
            self._next_row = (at + rows) % self._row_count
            self._used_rows += rows
            self._last += len(steps)
            name = f"{chunk.header.producer_id}/{chunk.header.sequence}"
            self._spans.append(_Span(self._last, rows, chunk.header.teacher_version, name))

    def _drop_oldest(self) -> None:
        oldest = self._spans.popleft()
        self._first = oldest.last
        self._used_rows -= oldest.rows

    def drop_before(self, version: int) -> int:
        """Drop all chunks up to the last one of an older teacher version; return how many transitions that were."""
        with self._lock:
            before = self._first
            while any(span.version < version for span in self._spans):
                self._drop_oldest()
            return self._first - before

    def _write(self, table: torch.Tensor, start: int, size: int, values: np.ndarray) -> None:
        head = min(len(values), size - start)
        for at, part in ((start, values[:head]), (0, values[head:])):
            if len(part):
                target = table[at : at + len(part)]
                if self._device.type == "cpu":
                    np.copyto(target.numpy(), part)
                else:
                    # Decoded columns are read-only views of bytes; torch wants memory that it could write.
                    target.copy_(from_numpy(np.array(part)))

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
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
            return self._minibatch(numbers, {name: table[slots] for name, table in self._tables.items()})

    def _gather(self, rows: torch.Tensor, frame_ages: torch.Tensor) -> torch.Tensor:
        """Return [B, 4, 84, 84] uint8 for [B] rows of newest frames and their ages; the caller holds the lock."""
        indices = (rows[:, None] - self._offsets) % self._row_count
        indices = torch.where(self._offsets > frame_ages[:, None], self._zero_row, indices)
        return self._frames.index_select(0, indices.flatten()).view(len(rows), *OBSERVATION_SHAPE)

    def chunk_of(self, number: int) -> str:
        """Return `producer_id/sequence` of the chunk that brought a transition, or `gone` if it has left the ring."""
        with self._lock:
            if number < self._first:
                return "gone"
            return next((span.name for span in self._spans if number < span.last), "gone")
