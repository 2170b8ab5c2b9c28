"""A teacher of any layers: an ONNX graph inside a native model file, which labels and plays and cannot be trained.

The graph has the form of `distill.onnx_graph`: `observations` [N, 4, 84, 84] uint8 in, one output of the game.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import safetensors.torch
import torch
from safetensors import SafetensorError

from distill.architectures import Graph
from distill.errors import ModelFileError
from distill.model_card import METADATA, ModelCard, card_of, check_card, read_bounded, read_header, with_card
from distill.typed_torch import from_numpy

OPERATORS = ("", "ai.onnx")
"""Domains of operators that a graph may use: the standard's, whose results onnxruntime defines."""
_TENSOR = "onnx"


@dataclass(frozen=True)
class LabelGraph:
    """A graph that labels.

    Attributes:
        data: it, as bytes of ONNX.
        parameters: numbers in its weights.
    """

    data: bytes = field(repr=False)
    parameters: int


def graph_bytes(graph: LabelGraph, card: ModelCard) -> bytes:
    """Return a model file as bytes. Raises ModelFileError if the card does not fit its games."""
    check_card(card, "card")
    return with_card(safetensors.torch.save({_TENSOR: from_numpy(np.frombuffer(graph.data, np.uint8).copy())}), card)


def load_graph(source: Path | bytes) -> tuple[LabelGraph, ModelCard]:
    """Return the graph and the card of a model file that holds one.

    Raises:
        ModelFileError: if it is missing, damaged, of another format, or does not fit its games.
    """
    name, data = ("model", source) if isinstance(source, bytes) else (str(source), read_bounded(source))
    header, _ = read_header(name, io.BytesIO(data), len(data))
    card = card_of(name, header)
    found = {key: entry for key, entry in header.items() if key != METADATA}
    if not isinstance(card.architecture, Graph) or found.keys() != {_TENSOR} or found[_TENSOR].get("dtype") != "U8":
        raise ModelFileError(f"{name}: expected one ONNX graph and its card, found tensors {', '.join(sorted(found))}")
    try:
        tensor = safetensors.torch.load(data)[_TENSOR]
    except SafetensorError as error:
        raise ModelFileError(f"{name}: damaged safetensors: {error}") from error
    graph = LabelGraph(tensor.flatten().to(torch.uint8).numpy().tobytes(), card.architecture.parameters)
    return graph, card


def open_session(name: str, data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Return a session of a graph on the CPU.

    Args:
        name: of the file, for messages.
        data: the graph as bytes of ONNX.
        threads: CPU threads of one call.

    Raises:
        ModelFileError: if onnxruntime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle threads that spin would take the core from the emulators.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        raise ModelFileError(f"{name}: onnxruntime does not run this graph: {_one_line(error)}") from error


def run_session(
    name: str, session: onnxruntime.InferenceSession, observations: npt.NDArray[Any], outputs: list[str] | None = None
) -> list[Any]:
    """Return a graph's outputs, of a graph whose batch is fixed at 1 those of one observation after another.

    Args:
        name: of the file, for messages.
        session: of a graph with one input.
        observations: [B, 4, 84, 84].
        outputs: names of what to compute; all if None.

    Raises:
        ModelFileError: if onnxruntime cannot compute them.
    """
    (source,) = session.get_inputs()
    single = bool(source.shape) and source.shape[0] == 1
    parts = [observations[at : at + 1] for at in range(len(observations))] if single else [observations]
    try:
        found = [session.run(outputs, {source.name: part}) for part in parts]
        return [np.concatenate(each) if single else each[0] for each in zip(*found, strict=True)]
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        raise ModelFileError(f"{name}: onnxruntime cannot compute this graph: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
