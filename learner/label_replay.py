"""The student's replay: observations with the teacher's labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distill.chunks import Chunk
from learner.replay import Columns, GameReplay


@dataclass(frozen=True)
class LabelledMinibatch:
    """B observations of one game, on the replay's device.

    Attributes:
        observations: [B, 4, 84, 84] uint8.
        q_values: [B, A] float32, as they came with the chunks.
        versions: [B] int64, version of the teacher that labelled.
        numbers: [B] int64, the transitions' numbers, from which `chunk_of` names their chunks.
    """

    observations: torch.Tensor
    q_values: torch.Tensor
    versions: torch.Tensor
    numbers: torch.Tensor


class LabelReplay(GameReplay[LabelledMinibatch]):
    """A ring of labelled observations; every step of a chunk is one.

    Args:
        actions: A of the game.
        capacity: see `GameReplay`.
        chunk_steps: see `GameReplay`.
        device: see `GameReplay`.
        compressed: see `GameReplay`.
    """

    def __init__(
        self, actions: int, capacity: int, chunk_steps: int, device: torch.device, *, compressed: bool = False
    ) -> None:
        labels = {"labels": ((actions,), torch.float32)}
        super().__init__(capacity, chunk_steps, device, labels, compressed=compressed)

    def _unpack(self, chunk: Chunk) -> tuple[npt.NDArray[np.int64], Columns]:
        return np.arange(chunk.header.steps), {"labels": chunk.q_values}

    def _minibatch(self, numbers: torch.Tensor, drawn: Mapping[str, torch.Tensor]) -> LabelledMinibatch:
        observations = self._gather(drawn["places"], drawn["ages"])
        return LabelledMinibatch(observations, drawn["labels"], drawn["versions"], numbers)
