"""Frames as they are, on the learner's device: a ring of rows, of which a minibatch is gathered by one index."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distill.chunks import PREFIX
from distill.games import FRAME_BYTES, OBSERVATION_SHAPE
from learner.ring_tables import write_ring
from learner.upload_stream import UploadStream


class FrameRing:
    """Frames of one game's chunks, [R + 1, 7056] uint8, one row a frame.

    Row R is zero and stands for frames from before an episode's start. A step's place is the row of its newest frame.

    Args:
        rows: R, the most frames held; whoever appends drops the oldest chunk first.
        device: where they lie.
        uploads: carries them there.
    """

    def __init__(self, rows: int, device: torch.device, uploads: UploadStream) -> None:
        self._rows = rows
        self._uploads = uploads
        # Memory is touched, and so taken, only as chunks arrive.
        self._frames = torch.empty((rows + 1, FRAME_BYTES), dtype=torch.uint8, device=device)
        self._frames[rows] = 0
        self._offsets = torch.arange(PREFIX, -1, -1, device=device)
        self._next = 0

    @property
    def size(self) -> int:
        """Bytes of the rows, whether they are in use or not."""
        return self._frames.nbytes

    def pack(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[Any] | torch.Tensor:
        """Return [T + 3, 84, 84] frames of a chunk as rows, on the device or on their way there."""
        return self._uploads.upload(frames.reshape(-1, FRAME_BYTES))

    def append(self, packed: npt.NDArray[Any] | torch.Tensor) -> int:
        """Take a chunk's frames in; return the place of its first step, after which the others' follow."""
        first = self._next
        write_ring(self._frames, first % self._rows, self._rows, packed)
        self._next += len(packed)
        return first + PREFIX

    def drop(self, steps: int) -> None:
        """Forget the oldest chunk, of that many steps: others will be written over it."""
        del steps

    def gather(self, places: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """Return the observations [B, 4, 84, 84] uint8 of steps at [B] places and of [B] ages."""
        rows = (places[:, None] - self._offsets) % self._rows
        rows = torch.where(self._offsets > ages[:, None], self._rows, rows)
        return self._frames.index_select(0, rows.flatten()).view(len(places), *OBSERVATION_SHAPE)
