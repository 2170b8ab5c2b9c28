"""Carries what the feed has decoded to the learner's device, beside its work and not in its way."""

import contextlib
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distill.typed_torch import from_numpy


class UploadStream:
    """A stream of its own on a CUDA device, and nothing on a CPU.

    Readers work on the device's default stream. They are held back while writes are asked for, and writers while reads
    are: by a lock, which is the caller's.

    Args:
        device: to which everything goes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def upload(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | torch.Tensor:
        """Return an array as it is on a CPU; on a CUDA device as a tensor there, on its way through pinned memory."""
        if self._stream is None:
            return values
        # PyTorch keeps pinned memory for the next array once the copy is done.
        pinned = torch.empty(values.shape, dtype=from_numpy(np.empty(0, values.dtype)).dtype, pin_memory=True)
        np.copyto(pinned.numpy(), values)
        with torch.cuda.stream(self._stream):
            return pinned.to(self._device, non_blocking=True)

    @contextlib.contextmanager
    def writing(self) -> Generator[None]:
        """Write behind all reads that were asked for so far."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.default_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def wait_for_writes(self) -> None:
        """Let all reads from now on be behind what was written."""
        if self._stream is not None:
            torch.cuda.default_stream(self._device).wait_stream(self._stream)
