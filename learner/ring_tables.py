"""Writes into a table whose rows are a ring."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def write_ring(table: torch.Tensor, start: int, size: int, values: npt.NDArray[Any] | torch.Tensor) -> None:
    """Write rows from `start` on into the first `size` rows of a table, going on at row 0 after the last of them.

    Args:
        table: on the CPU, or on the device on which `values` are.
        start: first row.
        size: of the ring.
        values: rows, as `UploadStream.upload` returns them.
    """
    head = min(len(values), size - start)
    for at, part in ((start, values[:head]), (0, values[head:])):
        if len(part):
            target = table[at : at + len(part)]
            if isinstance(part, torch.Tensor):
                target.copy_(part)
            else:
                np.copyto(target.numpy(), part)
