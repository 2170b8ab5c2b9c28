"""The Q-learner's replay: transitions over n steps, made when a chunk arrives, since all of them lie within it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distill.chunks import Chunk, ages
from learner.replay import Columns, GameReplay


@dataclass(frozen=True)
class NStepRule:
    """How steps become transitions of a Q-learner.

    Attributes:
        steps: n.
        discount: of one step.
        clip_rewards: clip every reward to -1 to 1.
        life_loss_ends: treat the loss of a life like the episode's end.
    """

    steps: int
    discount: float
    clip_rewards: bool
    life_loss_ends: bool


@dataclass(frozen=True)
class NStepMinibatch:
    """B transitions of one game, on the replay's device.

    Attributes:
        observations: [B, 4, 84, 84] uint8.
        actions: [B] int64.
        returns: [B] float32, discounted sum of the rewards of up to n steps.
        discounts: [B] float32, what the value of the successor counts; 0 where the episode ended before it.
        successors: [B, 4, 84, 84] uint8, the observation after n steps; the observation itself where there is none.
        versions: [B] int64, version of the network that acted.
        numbers: [B] int64, the transitions' numbers, from which `chunk_of` names their chunks.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    returns: torch.Tensor
    discounts: torch.Tensor
    successors: torch.Tensor
    versions: torch.Tensor
    numbers: torch.Tensor


def n_step_columns(chunk: Chunk, rule: NStepRule) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.generic]]]:
    """Return [K] the steps of a chunk that have their n successors in it or an end before that, and their columns.

    A step whose n successors run into the chunk's end or a truncation is left out: what follows was never observed.

    Returns:
        steps and, [K] each: actions int64, returns float32, discounts float32, ahead int64 (steps to the successor, 0
        where there is none), successor_ages int64.
    """
    count = chunk.header.steps
    rewards = np.clip(chunk.rewards, -1.0, 1.0) if rule.clip_rewards else chunk.rewards
    ends = chunk.terminated | chunk.life_lost if rule.life_loss_ends else chunk.terminated
    cuts = chunk.truncated & ~ends
    returns = np.zeros(count)
    running = np.ones(count, np.bool_)
    known = np.ones(count, np.bool_)
    for i in range(min(rule.steps, count)):
        at = np.arange(i, count)
        here = running[: count - i]
        returns[: count - i] += here * rule.discount**i * rewards[at]
        known[: count - i] &= ~(here & cuts[at])
        running[: count - i] &= ~ends[at]
    known[max(0, count - rule.steps) :] &= ~running[max(0, count - rule.steps) :]
    steps = np.flatnonzero(known)
    ahead = np.where(running[steps], rule.steps, 0)
    return steps, {
        "actions": chunk.taken[steps].astype(np.int64),
        "returns": returns[steps].astype(np.float32),
        "discounts": np.where(running[steps], rule.discount**rule.steps, 0.0).astype(np.float32),
        "ahead": ahead,
        "successor_ages": ages(chunk)[steps + ahead].astype(np.int64),
    }


class NStepReplay(GameReplay[NStepMinibatch]):
    """A ring of n-step transitions.

    Args:
        rule: how steps become transitions.
        capacity: see `GameReplay`.
        chunk_steps: see `GameReplay`.
        device: see `GameReplay`.
        compressed: see `GameReplay`.
    """

    def __init__(
        self, rule: NStepRule, capacity: int, chunk_steps: int, device: torch.device, *, compressed: bool = False
    ) -> None:
        whole, real = ((), torch.int64), ((), torch.float32)
        super().__init__(
            capacity,
            chunk_steps,
            device,
            {"actions": whole, "returns": real, "discounts": real, "ahead": whole, "successor_ages": whole},
            compressed=compressed,
        )
        self._rule = rule

    def _unpack(self, chunk: Chunk) -> tuple[npt.NDArray[np.int64], Columns]:
        return n_step_columns(chunk, self._rule)

    def _minibatch(self, numbers: torch.Tensor, drawn: Mapping[str, torch.Tensor]) -> NStepMinibatch:
        places = drawn["places"]
        # Together, since an observation and its successor often lie in one compressed block.
        observations, successors = self._gather(
            torch.cat((places, places + drawn["ahead"])), torch.cat((drawn["ages"], drawn["successor_ages"]))
        ).chunk(2)
        return NStepMinibatch(
            observations=observations,
            actions=drawn["actions"],
            returns=drawn["returns"],
            discounts=drawn["discounts"],
            successors=successors,
            versions=drawn["versions"],
            numbers=numbers,
        )
