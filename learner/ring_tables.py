"""Writes into a table whose rows are a ring."""

import numpy as np
import torch

from distill.typed_torch import from_numpy


def write_ring(table: torch.Tensor, start: int, size: int, values: np.ndarray) -> None:
    """Write rows from `start` on into the first `size` rows of a table, going on at row 0 after the last of them."""
    head = min(len(values), size - start)
    for at, part in ((start, values[:head]), (0, values[head:])):
        if len(part):
            target = table[at : at + len(part)]
            if table.device.type == "cpu":
                np.copyto(target.numpy(), part)
            else:
                # Decoded columns are read-only views of bytes; torch wants memory that it could write.
                target.copy_(from_numpy(np.array(part)))
