"""ONNX graphs as other programs export them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def foreign_graph(
    kind: str = "float32",
    scale: Literal["divides", "multiplies", "casts and divides", "none"] = "divides",
    *,
    shape: Sequence[int | str] = ("batch", 4, 84, 84),
    outputs: Sequence[str] = ("q_values",),
    actions: int = 6,
    operators: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return a graph of one strided convolution, an average over all cells, and a linear layer a output.

    Args:
        kind: of its input's numbers.
        scale: what it does with them at first.
        shape: of its input.
        outputs: their names.
        actions: numbers of each output.
        operators: further operators that stand behind the average.
    """
    random = np.random.default_rng(3)
    weights: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def weight(name: str, *sizes: int) -> str:
        weights.append(numpy_helper.from_array(random.standard_normal(sizes).astype(np.float32), name))
        return name

    def node(operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"{operator}_{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    x = "obs"
    if kind != "float32" or scale == "casts and divides":
        x = node("Cast", [x], to=TensorProto.FLOAT)
    if scale == "multiplies":
        constant = node("Constant", [], value=numpy_helper.from_array(np.array(1 / 255, np.float32)))
        x = node("Mul", [x, constant])
    elif scale != "none":
        weights.append(numpy_helper.from_array(np.array([255.0], np.float32), "most"))
        x = node("Div", [x, "most"])
    x = node("Conv", [x, weight("conv", 8, int(shape[1]), 8, 8)], strides=[4, 4])
    x = node("Flatten", [node("GlobalAveragePool", [node("Relu", [x])])])
    for operator in operators:
        x = node(operator, [x])
    for output in outputs:
        nodes.append(helper.make_node("MatMul", [x, weight(f"linear of {output}", 8, actions)], [output]))
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("obs", TYPES[kind], shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], actions]) for output in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="pytorch")


def outputs_of(model: onnx.ModelProto, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the first output of a graph, for one observation after another."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"obs": observations[at : at + 1]})[0] for at in range(len(observations))])
