"""RMSProp in one pass over memory."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

DECAY = 0.95
"""Of the average square: that of the DQN (Mnih et al. 2015), since the paper names none."""
UNBIASED_STEPS = 10_000.0
"""Steps after which the decay to their power is 0 beside 1."""


class RMSProp(torch.optim.Adam):
    """RMSProp as PyTorch's fused Adam, which takes one pass over memory where its own RMSprop takes five.

    It is Adam without a first moment, whose count of steps begins so high that the bias correction of the second is
    exactly 1. What is left is RMSProp: the root of the average square, plus epsilon, divides the gradient. It keeps of
    a parameter what `torch.optim.RMSprop` keeps, so either goes on from a checkpoint of the other.

    Args:
        parameters: what is trained.
        rate: learning rate.
        epsilon: what is added to the root.
        capturable: let a CUDA graph repeat its step.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float | torch.Tensor,
        epsilon: float,
        *,
        capturable: bool = False,
    ) -> None:
        super().__init__(parameters, lr=rate, betas=(0.0, DECAY), eps=epsilon, fused=True, capturable=capturable)
        self.load_state_dict(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the state as `torch.optim.RMSprop` has it: steps and average square of every parameter."""
        state = super().state_dict()
        state["state"] = {
            index: {"step": slots["step"] - UNBIASED_STEPS, "square_avg": slots["exp_avg_sq"]}
            for index, slots in state["state"].items()
        }
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what was kept of the parameters, and no settings; a parameter without begins anew."""
        slots: dict[int, dict[str, torch.Tensor]] = state_dict["state"]
        parameters: list[nn.Parameter] = [p for group in self.param_groups for p in group["params"]]
        full = {index: self._slots(parameter, slots.get(index, {})) for index, parameter in enumerate(parameters)}
        super().load_state_dict({"state": full, "param_groups": super().state_dict()["param_groups"]})

    @staticmethod
    def _slots(parameter: nn.Parameter, saved: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return Adam's slots of a parameter, whose first moment is that of the newest gradient alone."""
        return {
            "step": torch.as_tensor(saved.get("step", 0.0), dtype=torch.float32) + UNBIASED_STEPS,
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": saved.get("square_avg", torch.zeros_like(parameter)),
        }
