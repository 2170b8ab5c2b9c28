"""RMSProp against PyTorch's own, whose state it shares."""

import copy
from itertools import chain

import pytest
import torch
from torch import nn

from distill.architectures import ARCHITECTURES
from distill.networks import QNetwork
from learner.rmsprop import RMSProp

RATE = 2.5e-4
EPSILONS = [1e-6, 0.01**0.5 / 32]
GAMES = {"pong": 6, "breakout": 4}


def pair(epsilon: float) -> tuple[QNetwork, RMSProp, QNetwork, torch.optim.RMSprop]:
    """Return two equal networks with an optimizer of each kind."""
    ours = QNetwork(ARCHITECTURES["one_percent"], GAMES).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    plain = torch.optim.RMSprop(theirs.parameters(), lr=RATE, alpha=0.95, eps=epsilon, foreach=True)
    return ours, RMSProp(ours.parameters(), RATE, epsilon), theirs, plain


def step(
    networks: tuple[nn.Module, nn.Module], optimizers: tuple[torch.optim.Optimizer, ...], numbers: range, of: str = ""
) -> None:
    """Make steps on the same gradients, of the parameters whose name has a word in it."""
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        for (name, mine), other in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
            gradient = 0.01 * torch.randn(mine.shape, generator=generator)
            for parameter in (mine, other):
                # Laid out as autograd does it.
                parameter.grad = torch.empty_like(parameter).copy_(gradient) if of in name else None
        for group in chain.from_iterable(optimizer.param_groups for optimizer in optimizers):
            group["lr"] = RATE / (1 + number % 3)
        for optimizer in optimizers:
            optimizer.step()


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_it_takes_the_same_steps(epsilon: float) -> None:
    ours, fused, theirs, plain = pair(epsilon)
    step((ours, theirs), (fused, plain), range(50))
    assert_equal(ours, theirs)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_either_goes_on_where_the_other_was(epsilon: float) -> None:
    ours, fused, theirs, plain = pair(epsilon)
    # Heads of games that had no minibatch yet have no state in PyTorch's.
    step((ours, theirs), (fused, plain), range(5), of="conv")
    assert 0 < len(plain.state_dict()["state"]) < len(fused.state_dict()["state"])
    fused.load_state_dict(copy.deepcopy(plain.state_dict()))
    plain.load_state_dict(copy.deepcopy({**plain.state_dict(), "state": fused.state_dict()["state"]}))
    step((ours, theirs), (fused, plain), range(5, 30))
    assert_equal(ours, theirs)
    steps = {index: float(slots["step"]) for index, slots in plain.state_dict()["state"].items()}
    assert {index: float(slots["step"]) for index, slots in fused.state_dict()["state"].items()} == steps
