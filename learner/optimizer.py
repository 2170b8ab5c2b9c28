"""The optimizer of an update, and its learning rate."""

import math
from typing import Any, Protocol, cast

import torch

from distill.config import Optimization
from distill.networks import QNetwork
from learner.rmsprop import RMSProp


class Optimizer(Protocol):
    """A fused optimizer of PyTorch: its step can scale gradients as it reads them, and be left out by the device.

    That is what `torch.amp.GradScaler` uses of one (`_step_supports_amp_scaling`).

    Attributes:
        grad_scale: what a step divides all gradients by, a float32 on their device; None for 1.
        found_inf: 1.0 on that device if a step shall not be made; None for 0.
    """

    grad_scale: torch.Tensor | None
    found_inf: torch.Tensor | None

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters and settings."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        ...

    def step(self) -> object:
        """Make a step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return settings, and what is kept of every parameter."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...


def make_optimizer(network: QNetwork, settings: Optimization, *, capturable: bool = False) -> Optimizer:
    """Make the optimizer: RMSProp as in the paper, or AdamW.

    Args:
        network: what is trained.
        settings: which, and its rate.
        capturable: let a CUDA graph repeat its step; the rate is a tensor then.
    """
    parameters, rate, epsilon = list(network.parameters()), settings.learning_rate, settings.epsilon
    lr = torch.tensor(rate, device=parameters[0].device) if capturable else rate
    if settings.optimizer == "rmsprop":
        made = RMSProp(parameters, lr, epsilon, capturable=capturable)
    else:
        made = torch.optim.AdamW(
            parameters, lr, weight_decay=settings.weight_decay, eps=epsilon, fused=True, capturable=capturable
        )
    optimizer = cast(Optimizer, made)
    optimizer.grad_scale = optimizer.found_inf = None
    return optimizer


def learning_rate(settings: Optimization, updates: int, spent: float) -> float:
    """Return the learning rate after `updates` updates and a share `spent` (0 to 1) of the run's budget."""
    rate = settings.learning_rate
    if updates < settings.warmup_updates:
        return rate * (updates + 1) / settings.warmup_updates
    if settings.schedule == "cosine":
        return rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, spent)))
    return rate


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate, in its place if it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
