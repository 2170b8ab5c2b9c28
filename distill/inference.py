"""q-values of NumPy observations: onnxruntime on CPUs, where it is faster than eager PyTorch, and PyTorch on GPUs."""

import copy
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from distill.networks import QNetwork
from distill.onnx_graph import INPUT, build_onnx
from distill.typed_torch import from_numpy


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


class _OnnxQFunction:
    """One session per game, made when the game is first asked for: a session computes all outputs of its graph."""

    def __init__(self, network: QNetwork, threads: int) -> None:
        self._network = copy.deepcopy(network)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = 3
        # Idle threads that spin would take the core from the emulators.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        session = self._sessions.get(game)
        if session is None:
            graph = build_onnx(self._network, [game]).SerializeToString()
            session = onnxruntime.InferenceSession(graph, self._options, providers=["CPUExecutionProvider"])
            self._sessions[game] = session
        return session.run(None, {INPUT: observations})[0]


class _TorchQFunction:
    def __init__(self, network: QNetwork, device: str) -> None:
        self._device = torch.device(device)
        self._network = QNetwork(network.architecture, network.actions).to(self._device)
        self._network.load_state_dict(network.state_dict())

    @torch.inference_mode()
    def __call__(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        # cuDNN's TF32 convolutions, its default, have errors of 1e-3: a sharp softmax would make wrong labels of them.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._network(from_numpy(observations).to(self._device), game).cpu().numpy()
