"""An updater's state as named tensors: weights, optimizer and random generators."""

from collections.abc import Mapping
from typing import Any

import torch

from distill.errors import RunError
from learner.gradient_updater import GradientUpdater

AnyUpdater = GradientUpdater[Any]

SAMPLER = "random.sampler"
"""Name of the generator that draws minibatches."""


def updater_tensors(updater: AnyUpdater) -> dict[str, torch.Tensor]:
    """Return weights, optimizer state and random generators as named tensors on the CPU."""
    tensors = {
        f"{kind}.{name}": value
        for kind, network in updater.networks.items()
        for name, value in network.state_dict().items()
    }
    for index, slots in updater.optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors[SAMPLER] = updater.sampler.get_state()
    tensors["random.game_chooser"] = updater.game_chooser.get_state()
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}


def load_updater_tensors(updater: AnyUpdater, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restore what `updater_tensors` returned.

    Raises:
        RunError: if the tensors belong to another network or optimizer.
    """
    parameters = list(updater.network.parameters())
    slots: dict[int, dict[str, torch.Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".", 2)
                slots.setdefault(int(index), {})[slot] = _laid_out_as(parameters[int(index)], tensor)
        for kind, network in updater.networks.items():
            weights = _weights(tensors, kind)
            if kind == "average" and not weights:
                # The run was resumed with an average that it did not have before.
                weights = _weights(tensors, "network")
            network.load_state_dict(weights)
        state = updater.optimizer.state_dict()
        updater.optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
        updater.sampler.set_state(tensors[SAMPLER])
        updater.game_chooser.set_state(tensors["random.game_chooser"])
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise RunError(f"the checkpoint does not fit this run's network and optimizer: {error}") from error


def _weights(tensors: Mapping[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}


def _laid_out_as(parameter: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Return an optimizer slot in its parameter's memory format: fused optimizers walk both in memory order."""
    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, dtype=slot.dtype, device="cpu").copy_(slot)
