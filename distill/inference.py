"""q-values of NumPy observations: onnxruntime on CPUs, where it is faster than eager PyTorch, and PyTorch on GPUs."""

import copy
import io
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from distill.architectures import Graph
from distill.errors import DistillError
from distill.label_graph import LabelGraph, load_graph, open_session, run_session
from distill.model_card import ModelCard, card_of, read_card, read_header
from distill.models import load_model
from distill.networks import QNetwork
from distill.onnx_graph import INPUT, build_onnx
from distill.typed_torch import from_numpy, in_channels_last


class QFunction(Protocol):
    """Computes q-values in float32, from a copy of the network's weights."""

    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        """Return q-values [B, A] float32 of `observations` [B, 4, 84, 84] uint8 of one game."""
        ...


def make_q_function(network: QNetwork, device: str = "cpu", threads: int = 1) -> QFunction:
    """Return the fastest exact q-function of a device.

    Args:
        network: its weights are copied, so it may be trained on.
        device: "cpu", or a CUDA device such as "cuda:0".
        threads: CPU threads of one call.
    """
    return _OnnxQFunction(network, threads) if device == "cpu" else _TorchQFunction(network, device)


def load_q_function(source: Path | bytes, device: str = "cpu", threads: int = 1) -> tuple[QFunction, ModelCard]:
    """Return the q-function and the card of a model file, of whatever layers it is; graphs compute on the CPU.

    Raises:
        ModelFileError: if it is missing, damaged, of another format, or does not fit its games.
    """
    if isinstance(_card(source).architecture, Graph):
        graph, card = load_graph(source)
        return _GraphQFunction(graph, card, threads), card
    network, card = load_model(source)
    return make_q_function(network, device, threads), card


def _card(source: Path | bytes) -> ModelCard:
    if isinstance(source, Path):
        return read_card(source)
    return card_of("model", read_header("model", io.BytesIO(source), len(source))[0])


class _GraphQFunction:
    def __init__(self, graph: LabelGraph, card: ModelCard, threads: int) -> None:
        (self._game,) = card.actions
        self._session = open_session(self._game, graph.data, threads)

    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        if game != self._game:
            raise DistillError(f"game {game!r}: this network plays {self._game}")
        return run_session(game, self._session, observations)[0]


class _OnnxQFunction:
    """One session per game, made when the game is first asked for: a session computes all outputs of its graph."""

    def __init__(self, network: QNetwork, threads: int) -> None:
        self._network = copy.deepcopy(network)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._threads = threads

    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        session = self._sessions.get(game)
        if session is None:
            graph = build_onnx(self._network, [game]).SerializeToString()
            session = open_session(game, graph, self._threads)
            self._sessions[game] = session
        return session.run(None, {INPUT: observations})[0]


class _TorchQFunction:
    def __init__(self, network: QNetwork, device: str) -> None:
        self._device = torch.device(device)
        # In this layout cuDNN's sums err least: by 8e-6 of a q-value of 24, and by 1.5e-5 in PyTorch's own layout.
        self._network = in_channels_last(QNetwork(network.architecture, network.actions).to(self._device))
        self._network.load_state_dict(network.state_dict())

    @torch.inference_mode()
    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        # cuDNN's TF32 convolutions, its default, have errors of 1e-3: a sharp softmax would make wrong labels of them.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = self._network(from_numpy(observations).to(self._device, memory_format=torch.channels_last), game)
            return found.cpu().numpy()
