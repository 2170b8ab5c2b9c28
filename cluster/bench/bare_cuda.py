"""The bare loops of a CUDA device: the same update, and nothing else, as one CUDA graph."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from cluster.bench.bare import bare_optimizer, plain_network
from distill.games import FRAME_BYTES, OBSERVATION_SHAPE
from distill.typed_torch import compiled, in_channels_last

ROWS = 60_000
ACTIONS = 6
DISCOUNT = 0.97
CLIP = 10.0
WARM_UP = 4


class _Ring:
    """Frames and labels as a replay has them, of random numbers."""

    def __init__(self, batch_size: int, device: torch.device) -> None:
        self._frames = torch.randint(0, 256, (ROWS, FRAME_BYTES), dtype=torch.uint8, device=device)
        self.labels = torch.randn(ROWS, ACTIONS, device=device)
        self.actions = torch.randint(0, ACTIONS, (ROWS,), device=device)
        self._offsets = torch.arange(3, -1, -1, device=device)
        self._batch_size = batch_size
        self._device = device

    def draw(self) -> torch.Tensor:
        return (torch.rand(self._batch_size, device=self._device) * (ROWS - 16)).long() + 8

    def gather(self, numbers: torch.Tensor) -> torch.Tensor:
        rows = (numbers[:, None] - self._offsets).flatten()
        return self._frames.index_select(0, rows).view(self._batch_size, *OBSERVATION_SHAPE)


def _forward(network: nn.Module, observations: torch.Tensor) -> torch.Tensor:
    pixels = observations.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.bfloat16):
        return network(pixels.to(torch.bfloat16) / 255).float()


def graphed_student(architecture: str, batch_size: int, optimizer: str, *, compile_loss: bool) -> Callable[[], None]:
    """Return what makes one update of a student with KL, gather to step; compiled or not."""
    device = torch.device("cuda")
    network, ring = _on_device(architecture), _Ring(batch_size, device)

    def loss_of(observations: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        target = F.softmax(labels / 0.01, 1)
        return F.kl_div(F.log_softmax(_forward(network, observations), 1), target, reduction="batchmean")

    loss = compiled(loss_of) if compile_loss else loss_of

    def gradients() -> None:
        numbers = ring.draw()
        torch.autograd.backward(loss(ring.gather(numbers), ring.labels[numbers]))

    return _graph(network, optimizer, gradients)


def graphed_q_learner(batch_size: int, *, compile_loss: bool) -> Callable[[], None]:
    """Return what makes one Double DQN update of the teachers' network with the Huber loss; compiled or not."""
    device = torch.device("cuda")
    network, target, ring = _on_device("teacher"), _on_device("teacher"), _Ring(batch_size, device)

    def loss_of(
        observations: torch.Tensor, successors: torch.Tensor, actions: torch.Tensor, rewards: torch.Tensor
    ) -> torch.Tensor:
        with torch.no_grad():
            best = _forward(network, successors).argmax(1, keepdim=True)
            wanted = rewards + DISCOUNT * _forward(target, successors).gather(1, best).squeeze(1)
        return F.huber_loss(_forward(network, observations).gather(1, actions[:, None]).squeeze(1), wanted)

    loss = compiled(loss_of) if compile_loss else loss_of

    def gradients() -> None:
        numbers = ring.draw()
        observations, successors = ring.gather(numbers), ring.gather(numbers + 3)
        torch.autograd.backward(loss(observations, successors, ring.actions[numbers], ring.labels[numbers, 0]))

    return _graph(network, "adamw", gradients)


def _on_device(architecture: str) -> nn.Module:
    return in_channels_last(plain_network(architecture, ACTIONS).to("cuda"))


def _graph(network: nn.Module, optimizer: str, gradients: Callable[[], None]) -> Callable[[], None]:
    parameters = list(network.parameters())
    stepper = bare_optimizer(optimizer, network, capturable=True)

    def update() -> None:
        stepper.zero_grad(set_to_none=True)
        gradients()
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(parameters, CLIP, norm)
        stepper.step()

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            update()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        update()

    def replay(_captured: Callable[[], None] = update) -> None:
        # A graph keeps neither the tensors that it reads nor the compiled kernels that it launches: the function does.
        graph.replay()

    return replay
