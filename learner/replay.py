"""The learner's copy of one game's newest transitions.

Frames are kept as they are on the learner's device (`FrameRing`), so that a minibatch never crosses a bus, or
compressed in main memory (`PackedFrames`); what is sampled is the same. Tables of one game, on the learner's device,
with C = capacity in transitions:

    places    [C]  int64  where the frames of each transition's observation are kept
    ages      [C]  int64  steps since the episode's first observation, at most 3
    versions  [C]  int64  teacher version that its chunk names
    ...                   what a kind of replay keeps beside them

Transitions are numbered 0, 1, 2, ... in order of arrival; number n lies in slot n modulo C, and those in [first, last)
are there. There is room for as many frames as C transitions have in chunks of the usual length; a chunk of T steps has
T + 3.

On a CUDA device chunks are written on a stream of their own, so that a bus does not hold up the updates, which are on
the device's default stream. Who samples is ahead of the device: rows are written over only when what was asked of them
so far is done, and what is written can be drawn only when it is there.
"""

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from distill.chunks import PREFIX, Chunk, ages
from learner.frame_ring import FrameRing
from learner.packed_frames import PackedFrames
from learner.ring_tables import write_ring
from learner.upload_stream import UploadStream


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
"""A kind of replay's minibatch."""

Columns = Mapping[str, npt.NDArray[Any]]

Packed = TypeVar("Packed")
"""A chunk's frames as they are kept."""


class FrameStore(Protocol[Packed]):
    """What keeps the frames of chunks; only `pack` may be called beside another method."""

    @property
    def size(self) -> int:
        """Bytes that they take."""
        ...

    def pack(self, frames: npt.NDArray[np.uint8], /) -> Packed:
        """Return [T + 3, 84, 84] frames of a chunk as they are kept."""
        ...

    def append(self, packed: Packed, /) -> int:
        """Take a chunk's frames in; return the place of its first step, after which the others' follow."""
        ...

    def drop(self, steps: int) -> None:
        """Forget the oldest chunk, of that many steps."""
        ...

    def gather(self, places: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """Return the observations [B, 4, 84, 84] uint8 of steps at [B] places and of [B] ages."""
        ...


_WHOLE = 1 << 62
"""Random integers below it, modulo a count, are even to one part in 2^62 / count."""


@dataclass(frozen=True)
class _Span:
    last: int
    frames: int
    version: int
    name: str


class GameReplay(ABC, Generic[Batch]):
    """A ring of transitions of one game. `append` and `sample` may be called from different threads.

    Args:
        capacity: C, the most transitions held; the oldest chunk makes room for the newest.
        chunk_steps: usual steps per chunk, which says how many frames there are; shorter ones hold fewer transitions.
        device: where the tables lie and minibatches are.
        columns: shape of a row and dtype of every further table.
        compressed: keep frames compressed.
    """

    def __init__(
        self,
        capacity: int,
        chunk_steps: int,
        device: torch.device,
        columns: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
        *,
        compressed: bool,
    ) -> None:
        self.capacity = capacity
        self._most_frames = capacity + PREFIX * -(-capacity // chunk_steps)
        self.on_device = not compressed
        """Whether a minibatch is gathered by the device alone, without the host."""
        self._uploads = UploadStream(device)
        self._frames: FrameStore[Any]
        self._frames = (
            PackedFrames(self._most_frames, device, torch.get_num_threads())
            if compressed
            else FrameRing(self._most_frames, device, self._uploads)
        )
        every = {"places": ((), torch.int64), "ages": ((), torch.int64), "versions": ((), torch.int64), **columns}
        self._tables = {
            name: torch.empty((capacity, *shape), dtype=dtype, device=device) for name, (shape, dtype) in every.items()
        }
        self._device = device
        self._spans: deque[_Span] = deque()
        self._frame_count = 0
        self._first = 0
        self._last = 0
        # What the device draws from: the first number, and how many there are.
        self._oldest, self._count = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self._bounds_told = True
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._last - self._first

    @property
    def size(self) -> int:
        """Bytes of frames and tables."""
        with self._lock:
            return self._frames.size + sum(table.nbytes for table in self._tables.values())

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
        frames = chunk.header.steps + PREFIX
        if chunk.header.steps > self.capacity or frames > self._most_frames:
            raise ValueError(f"chunk of {chunk.header.steps} steps: the replay holds {self.capacity} transitions")
        steps, further = self._unpack(chunk)
        packed = self._frames.pack(chunk.frames)
        with self._lock:
            while len(self) + len(steps) > self.capacity or self._frame_count + frames > self._most_frames:
                self._drop_oldest()
            with self._uploads.writing():
                columns: Columns = {
                    "places": self._frames.append(packed) + steps,
                    "ages": ages(chunk)[steps].astype(np.int64),
                    "versions": np.full(len(steps), chunk.header.teacher_version, np.int64),
                    **further,
                }
                for name, values in columns.items():
                    start = self._last % self.capacity
                    write_ring(self._tables[name], start, self.capacity, self._uploads.upload(values))
            self._bounds_told = False
            self._frame_count += frames
            self._last += len(steps)
            name = f"{chunk.header.producer_id}/{chunk.header.sequence}"
            self._spans.append(_Span(self._last, frames, chunk.header.teacher_version, name))

    def _drop_oldest(self) -> None:
        oldest = self._spans.popleft()
        self._first = oldest.last
        self._bounds_told = False
        self._frame_count -= oldest.frames
        self._frames.drop(oldest.frames - PREFIX)

    def drop_before(self, version: int) -> int:
        """Drop all chunks up to the last one of an older teacher version; return how many transitions that were."""
        with self._lock:
            before = self._first
            while any(span.version < version for span in self._spans):
                self._drop_oldest()
            return self._first - before

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Gather B transitions, drawn uniformly with replacement.

        Args:
            batch_size: B.
            generator: random generator on the replay's device.

        Raises:
            ValueError: if the replay is empty.
        """
        with self.steady():
            return self.draw(self.randoms(batch_size, generator))

    @contextlib.contextmanager
    def steady(self) -> Generator[None]:
        """Hold back whoever appends or drops while draws are asked for, which see what is there now.

        Raises:
            ValueError: if the replay is empty.
        """
        with self._lock:
            if not len(self):
                raise ValueError("the replay is empty: append chunks first")
            if not self._bounds_told:
                self._uploads.wait_for_writes()
                self._oldest.fill_(self._first)
                self._count.fill_(len(self))
                self._bounds_told = True
            yield

    def randoms(self, batch_size: int, generator: torch.Generator) -> torch.Tensor:
        """Return [B] int64 random integers for `draw`, of a generator on the replay's device."""
        return torch.randint(_WHOLE, (batch_size,), generator=generator, device=self._device)

    def draw(self, randoms: torch.Tensor) -> Batch:
        """Gather the transition that each of [B] random integers falls on, within `steady`.

        Where the replay is `on_device`, a CUDA graph can repeat it.
        """
        numbers = self._oldest + randoms % self._count
        slots = numbers % self.capacity
        return self._minibatch(numbers, {name: table[slots] for name, table in self._tables.items()})

    def _gather(self, places: torch.Tensor, frame_ages: torch.Tensor) -> torch.Tensor:
        """Return the observations [B, 4, 84, 84] uint8 of [B] places and ages; the caller holds the lock."""
        return self._frames.gather(places, frame_ages)

    def chunk_of(self, number: int) -> str:
        """Return `producer_id/sequence` of the chunk that brought a transition, or `gone` if it has left the ring."""
        with self._lock:
            if number < self._first:
                return "gone"
            return next((span.name for span in self._spans if number < span.last), "gone")
