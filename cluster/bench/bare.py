"""The bare loops: the fastest plain code for the same arithmetic, without a system around it."""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from distill.architectures import ARCHITECTURES
from distill.games import make_environment
from distill.models import load_model
from distill.typed_torch import from_numpy
from learner.rmsprop import RMSProp

WARM_UP_SECONDS = 0.5
IMAGES = 4096


def bare_collector(game: str, teacher: bytes, lanes: int, seconds: float) -> float:
    """Return steps per second of AtariVectorEnv plus an eager float32 PyTorch forward."""
    network, card = load_model(teacher)
    plain = plain_network(network.architecture.name, card.actions[game])
    environment = make_environment(game, lanes)
    observations, _ = environment.reset(seed=0)
    steps = 0
    began = time.perf_counter()
    measured_from = began + WARM_UP_SECONDS
    with torch.inference_mode():
        while (now := time.perf_counter()) < measured_from + seconds:
            if steps == 0 and now >= measured_from:
                began = now
            q_values = plain(from_numpy(observations).float() / 255)
            observations, *_ = environment.step(q_values.argmax(1).numpy())
            if now >= measured_from:
                steps += lanes
    return steps / (time.perf_counter() - began)


@dataclass(frozen=True)
class BareVariant:
    """One way to write the training loop.

    Attributes:
        channels_last: convert minibatches and network to channels_last.
        bfloat16: autocast, with minibatches scaled in bfloat16 rather than in float32.
    """

    channels_last: bool
    bfloat16: bool


BARE_VARIANTS = tuple(BareVariant(last, low) for last in (False, True) for low in (False, True))


def bare_learner(
    variant: BareVariant, architecture: str, batch_size: int, optimizer: str, device: str, seconds: float
) -> float:
    """Return samples per second of forward, KL loss, backward and step on uint8 minibatches already in memory."""
    target = torch.device(device)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    network = plain_network(architecture, 6).to(target)
    network.to(memory_format=layout)  # pyright: ignore[reportCallIssue] - torch's stub wants a tensor's overload
    step = bare_optimizer(optimizer, network)
    images = torch.randint(0, 256, (IMAGES, 4, 84, 84), dtype=torch.uint8, device=target)
    labels = torch.randn(IMAGES, 6, device=target)
    samples = 0
    began = time.perf_counter()
    measured_from = began + WARM_UP_SECONDS
    start = 0
    while (now := time.perf_counter()) < measured_from + seconds:
        if samples == 0 and now >= measured_from:
            began = now
        start = (start + batch_size) % (IMAGES - batch_size + 1)
        batch = images[start : start + batch_size].contiguous(memory_format=layout)
        scaled = batch.to(torch.bfloat16) / 255 if variant.bfloat16 else batch.float() / 255
        with torch.autocast(target.type, dtype=torch.bfloat16, enabled=variant.bfloat16):
            outputs = network(scaled)
        target_probabilities = F.softmax(labels[start : start + batch_size] / 0.01, 1)
        loss = F.kl_div(F.log_softmax(outputs.float(), 1), target_probabilities, reduction="batchmean")
        step.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        step.step()
        if target.type == "cuda":
            torch.cuda.synchronize()
        if now >= measured_from:
            samples += batch_size
    return samples / (time.perf_counter() - began)


def bare_optimizer(name: str, network: nn.Module, *, capturable: bool = False) -> torch.optim.Optimizer:
    """Return a fused optimizer; capturable is one whose step a CUDA graph can repeat."""
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True, capturable=capturable)
    # PyTorch's own is not fused, so the bare loop gets ours too.
    return RMSProp(network.parameters(), 1e-4, 1e-6, capturable=capturable)


def plain_network(architecture: str, actions: int) -> nn.Module:
    """Return the layers of an architecture for one game, without what a `QNetwork` adds."""
    sizes = ARCHITECTURES[architecture]
    first, second, third = sizes.channels
    head: list[nn.Module] = [nn.Linear(sizes.hidden, actions)]
    if sizes.controller_hidden is not None:
        head = [
            nn.Linear(sizes.hidden, sizes.controller_hidden),
            nn.ReLU(),
            nn.Linear(sizes.controller_hidden, actions),
        ]
    return nn.Sequential(
        *(nn.Conv2d(4, first, 8, 4), nn.ReLU(), nn.Conv2d(first, second, 4, 2), nn.ReLU()),
        *(nn.Conv2d(second, third, 3), nn.ReLU(), nn.Flatten(), nn.Linear(third * 49, sizes.hidden), nn.ReLU()),
        *head,
    )
