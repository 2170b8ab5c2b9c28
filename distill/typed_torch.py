"""Functions of PyTorch that it gives no types itself, with the types that they have here."""

import importlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import numpy.typing as npt
import torch


class _Functions(Protocol):
    def from_numpy(self, array: npt.NDArray[Any], /) -> torch.Tensor: ...

    def manual_seed(self, seed: int, /) -> torch.Generator: ...


class _Listable(Protocol):
    def tolist(self) -> list[float]: ...


class _Graph(Protocol):
    def register_generator_state(self, generator: torch.Generator, /) -> None: ...


AFunction = TypeVar("AFunction", bound=Callable[..., object])


MOST_SHAPES = 64
"""For which one function is compiled."""


class _CompilerConfig(Protocol):
    suppress_errors: bool
    recompile_limit: int


class _Compiler(Protocol):
    def compile(self, function: AFunction, /, *, dynamic: bool) -> AFunction: ...


from_numpy = cast(_Functions, torch).from_numpy
manual_seed = cast(_Functions, torch).manual_seed


def numbers(tensor: _Listable) -> list[float]:
    """Return the values of a tensor [N]."""
    return tensor.tolist()


AModule = TypeVar("AModule", bound=torch.nn.Module)


def in_channels_last(module: AModule) -> AModule:
    """Lay out the convolutions' weights of a module as `torch.channels_last`, and return the module."""
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing in torch's stub
    return module


def register_generator(graph: torch.cuda.CUDAGraph, generator: torch.Generator) -> None:
    """Let every replay of a graph that is yet to be captured draw anew from a generator."""
    cast(_Graph, graph).register_generator_state(generator)


def compiled(function: AFunction) -> AFunction:
    """Return a function that PyTorch compiles when it is first called with tensors of new shapes, which takes seconds.

    Where it cannot be compiled, for want of a C compiler say, PyTorch warns and runs it as it is.
    """
    # To import the compiler takes a second, so who does not compile does without.
    config = cast(_CompilerConfig, importlib.import_module("torch._dynamo.config"))
    config.suppress_errors = True
    # One function is compiled for every game, and by default for eight at most.
    config.recompile_limit = max(config.recompile_limit, MOST_SHAPES)
    return cast(_Compiler, torch).compile(function, dynamic=False)
