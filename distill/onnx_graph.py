"""A network as an ONNX graph, written node by node: for export, and for fast inference on CPUs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from distill.architectures import PADS, Architecture, Support
from distill.errors import DistillError
from distill.games import OBSERVATION_SHAPE, PREPROCESSING, action_meanings
from distill.model_card import write_model_file
from distill.networks import PIXEL_LIMIT, QNetwork

PRODUCER = "policy-distillery"
"""By which a file says who has written it."""
OPSET = 17
IR_VERSION = 8
INPUT = "observations"

_Arrays = dict[str, npt.NDArray[np.float32]]
"""A network's weights by name."""


def output_name(game: str) -> str:
    """Return the name of the graph's output for a game."""
    return f"q_values_{game}"


class _Graph:
    """Collects nodes and weights; each method appends one layer and returns the name of its output."""

    def __init__(self, activation: Literal["relu", "elu"]) -> None:
        self._activation = activation
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str, values: npt.NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def layer(
        self, kind: str, source: str, name: str, weights: Sequence[npt.NDArray[np.float32]], **attributes: Any
    ) -> str:
        inputs = [self.weight(f"{name}.{part}", w) for part, w in zip(("weight", "bias"), weights, strict=True)]
        return self.node(kind, [source, *inputs], name, **attributes)

    def activation(self, source: str) -> str:
        return self.node(self._activation.capitalize(), [source], f"{source}.{self._activation}")


def build_onnx(network: QNetwork, games: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the network as a graph with one input and, per game, one output.

    The input `observations` is [N, 4, 84, 84] uint8; an output `q_values_<game>` is [N, A] float32. The metadata
    hold `actions` (JSON: the meanings of each game's outputs) and `preprocessing` (JSON).

    Args:
        network: its weights are copied.
        games: the games to include; all of the network's if empty.

    Raises:
        DistillError: if the network does not play one of the games.
    """
    chosen = tuple(games) or tuple(network.actions)
    if unknown := [game for game in chosen if game not in network.actions]:
        raise DistillError(f"game {unknown[0]!r}: this network plays {', '.join(network.actions)}")
    arrays = {name: _array(tensor) for name, tensor in network.state_dict().items()}

    graph = _Graph(network.architecture.activation)
    pixels = graph.node("Cast", [INPUT], "pixels", to=TensorProto.FLOAT)
    x = _trunk(graph, pixels, network.architecture, arrays)
    for game in chosen:
        _controller(graph, x, game, network, arrays)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "q_network",
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", *OBSERVATION_SHAPE])],
            [
                helper.make_tensor_value_info(output_name(game), TensorProto.FLOAT, ["batch", network.actions[game]])
                for game in chosen
            ],
            graph.weights,
        ),
        producer_name=PRODUCER,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(
        model,
        {
            "actions": json.dumps({game: action_meanings(game) for game in chosen}),
            "preprocessing": json.dumps(PREPROCESSING),
        },
    )
    return model


def export_onnx(path: Path, network: QNetwork, games: Sequence[str] = ()) -> None:
    """Write `build_onnx` to a file atomically, after ONNX's own check of the graph.

    Raises:
        DistillError: if the network does not play one of the games, or the disk refuses.
    """
    model = build_onnx(network, games)
    onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType] - of a PathLike[?] too
    write_model_file(path, model.SerializeToString())


def _trunk(graph: _Graph, pixels: str, architecture: Architecture, arrays: _Arrays) -> str:
    """Append the shared layers, and return the name of their output [N, hidden]."""
    x, weight = pixels, arrays["conv1.weight"]
    if architecture.pixels == "standardized":
        x = graph.node("Mul", [x, graph.weight("share", np.array(1 / 255, np.float32))], "scaled")
        x = graph.node("Sub", [x, graph.weight("pixel_mean", arrays["pixel_mean"])], "centred")
        x = graph.node("Mul", [x, graph.weight("pixel_scale", arrays["pixel_scale"])], "standardized")
        limits = [graph.weight(f"limit_{sign}", np.array(sign * PIXEL_LIMIT, np.float32)) for sign in (-1, 1)]
        x = graph.node("Clip", [x, *limits], "limited")
    else:
        weight = weight * np.float32(1 / 255)
    for index, (name, stride) in enumerate((("conv1", 4), ("conv2", 2), ("conv3", 1))):
        before, after = PADS[index] if architecture.padding == "same" else (0, 0)
        shape = {"strides": [stride, stride], "pads": [before, before, after, after]}
        weights = [weight if index == 0 else arrays[f"{name}.weight"], arrays[f"{name}.bias"]]
        x = graph.layer("Conv", x, name, weights, **shape)
        x = graph.activation(_normalized(graph, x, index, architecture, arrays))
    flat = graph.node("Flatten", [x], "flat")
    x = graph.layer("Gemm", flat, "fc", [arrays["fc.weight"], arrays["fc.bias"]], transB=1)
    return graph.activation(_normalized(graph, x, 3, architecture, arrays))


def _normalized(graph: _Graph, x: str, index: int, architecture: Architecture, arrays: _Arrays) -> str:
    """Append the normalization of a layer of the trunk, if there is one."""
    if architecture.normalization == "none":
        return x
    weights = [arrays[f"norms.{index}.weight"], arrays[f"norms.{index}.bias"]]
    # Convolutions give [N, C, H, W]; the linear layer [N, hidden].
    by_channel = architecture.normalization == "channels" and index < 3
    source = graph.node("Transpose", [x], f"{x}.last", perm=[0, 2, 3, 1]) if by_channel else x
    axis = -1 if by_channel else 1
    found = graph.layer("LayerNormalization", source, f"norm{index}", weights, axis=axis, epsilon=architecture.epsilon)
    return graph.node("Transpose", [found], f"{x}.normalized", perm=[0, 3, 1, 2]) if by_channel else found


def _controller(graph: _Graph, features: str, game: str, network: QNetwork, arrays: _Arrays) -> None:
    layers = len(network.controller(game))
    support = network.architecture.support
    x = features
    for index in range(layers):
        name = f"controller_{game}_{index}" if index < layers - 1 or support else output_name(game)
        key = f"heads.{game}.{index}"
        x = graph.layer("Gemm", x, name, [arrays[f"{key}.weight"], arrays[f"{key}.bias"]], transB=1)
        if index < layers - 1:
            x = graph.activation(x)
    if support is not None:
        _expectation(graph, x, game, network.actions[game], support)


def _expectation(graph: _Graph, logits: str, game: str, actions: int, support: Support) -> None:
    """Append the q-values of a game: the means of the returns whose logits [N, A * atoms] are given."""
    shape = graph.weight(f"shape_{game}", np.array([-1, actions, support.atoms], np.int64))
    by_action = graph.node("Reshape", [logits, shape], f"logits_{game}")
    shares = graph.node("Softmax", [by_action], f"probabilities_{game}", axis=2)
    returns = torch.linspace(support.low, support.high, support.atoms)
    graph.node("MatMul", [shares, graph.weight(f"returns_{game}", _array(returns))], output_name(game))


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
