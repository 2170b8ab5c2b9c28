"""Reads an ONNX graph that somebody else exported, and gives it the form of this project's own graphs.

onnxruntime computes it, from nothing but its bytes: no file that it names is read, and it may only use the operators of
the standard that end by themselves. What its input means is found in the graph, or told by the user, and never guessed.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from distill.conversion import Pixels, Told
from distill.errors import ModelFileError
from distill.games import OBSERVATION_SHAPE, action_count
from distill.label_graph import OPERATORS, LabelGraph, open_session, run_session
from distill.model_card import MAX_FILE_BYTES, Labels, check_actions
from distill.onnx_graph import INPUT, output_name
from distill.torch_files import printable
from distill.words import words_of

_PREFIX = "teacher/"
_LOOPS = {"Loop", "Scan"}
_OLDEST_OPSET = 7
"""Before it, operators did not broadcast as they do today."""
_SAME = 1e-4
_FRAMES = 3
_LOGITS, _Q_VALUES = {"logits", "logit"}, {"q", "qs", "qvalues"}


def convert_graph(name: str, data: bytes, game: str, told: Told) -> tuple[LabelGraph, Labels, tuple[str, ...]]:
    """Return the graph, what its output is, and what was found out about it, a phrase each.

    Args:
        name: of the file, for messages.
        data: its bytes.
        game: which it plays.
        told: what the file does not say.

    Raises:
        ModelFileError: if it is damaged, has another shape, computes something else in another batch or at another
            time, or leaves open what goes in or comes out.
    """
    check_actions(name, game, action_count(game))
    model = _parsed(name, data)
    source, kind = _input_of(name, model)
    pixels, seen = _pixels(name, model, source, kind, told)
    frames = _frames(pixels, kind)
    output = _output_of(name, data, game, frames)
    labels = _labels(name, output, told)
    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    graph = LabelGraph(_in_form(model, source, kind, pixels, output, game), parameters)
    # The graph in its new form must still compute the same.
    raw = _random_frames()
    before = run_session(name, open_session(name, data, 1), frames, [output])[0]
    after = run_session(name, open_session(name, graph.data, 1), raw)[0]
    if not np.allclose(before, after, rtol=0, atol=1e-5):
        raise ModelFileError(f"{name}: expected the same outputs of the graph in this project's form, found others")
    return graph, labels, (seen, f"output {printable(output)}: {labels}")


def _parsed(name: str, data: bytes) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType] - of a PathLike[?] too
    except Exception as error:  # protobuf's, the checker's and shape inference's have no common base
        raise ModelFileError(
            f"{name}: truncated or damaged ONNX file: {printable(' '.join(str(error).split())[:300])}"
        ) from error
    if model.ByteSize() > MAX_FILE_BYTES:
        raise ModelFileError(f"{name}: expected at most {MAX_FILE_BYTES} bytes")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise ModelFileError(f"{name}: its weights are in other files; save it as one file: onnx.save(onnx.load(...))")
    foreign = sorted({entry.domain for entry in model.opset_import} - set(OPERATORS))
    if foreign or model.functions:
        raise ModelFileError(
            f"{name}: expected operators of ONNX alone, found those of {printable(', '.join(foreign))}"
        )
    if min((entry.version for entry in model.opset_import), default=0) < _OLDEST_OPSET:
        raise ModelFileError(f"{name}: expected opset {_OLDEST_OPSET} or newer; export it again")
    loops = sorted({node.op_type for node in _nodes(model.graph)} & _LOOPS)
    if loops:
        raise ModelFileError(
            f"{name}: expected a graph without loops, found {', '.join(loops)}: a teacher has no memory"
        )
    return model


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _input_of(name: str, model: onnx.ModelProto) -> tuple[str, Literal["uint8", "float32"]]:
    """Return the name of the graph's one input, and what its numbers are."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelFileError(f"{name}: expected one input, found {len(inputs)}: a teacher sees four frames alone")
    tensor = inputs[0].type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if len(shape) != 4 or any(
        size not in (None, wanted) for size, wanted in zip(shape[1:], OBSERVATION_SHAPE, strict=True)
    ):
        what = ": frames last, export it with frames first" if shape[1:] == [84, 84, 4] else ""
        what = ": one frame in RGB, or 3 frames" if shape[1:2] == [3] else what
        raise ModelFileError(f"{name}: expected an input [B, 4, 84, 84], found {_shown(shape)}{what}")
    if shape[0] not in (None, 1):
        raise ModelFileError(f"{name}: expected an input of any batch, or of 1, found {_shown(shape)}; export it again")
    kinds: dict[int, Literal["uint8", "float32"]] = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32"}
    if tensor.elem_type not in kinds:
        found = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelFileError(f"{name}: expected an input of uint8 or float, found {found}")
    return inputs[0].name, kinds[tensor.elem_type]


def _shown(shape: list[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _pixels(name: str, model: onnx.ModelProto, source: str, kind: str, told: Told) -> tuple[Pixels, str]:
    """Return what the graph expects its input to be, and how that is known."""
    found = "raw" if kind == "uint8" or _divides(model, source) else None
    reason = "it takes uint8" if kind == "uint8" else "it divides them by 255"
    if found is not None and told.pixels not in (None, found):
        raise ModelFileError(f"{name}: pixels: expected {found}, since {reason}, found {told.pixels}; leave it out")
    if found is not None:
        return found, f"input: pixels from 0 to 255, since {reason}"
    if told.pixels is None:
        raise ModelFileError(
            f"{name}: it takes floats and does not divide them by 255 itself; say with --pixels whether it was trained"
            " on raw pixels, from 0 to 255, or on scaled ones, from 0 to 1"
        )
    return told.pixels, f"input: pixels from 0 to {255 if told.pixels == 'raw' else 1}, as was said"


def _divides(model: onnx.ModelProto, source: str) -> bool:
    """Return whether the first thing that a graph does with its input is to divide it by 255."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for value in (entry for entry in node.attribute if node.op_type == "Constant" and entry.name == "value"):
            constants[node.output[0]] = value.t
    while True:
        readers = [node for node in model.graph.node if source in node.input]
        if len(readers) != 1:
            return False
        node = readers[0]
        if node.op_type in ("Cast", "Identity"):
            source = node.output[0]
            continue
        others = [constants.get(other) for other in node.input if other != source]
        if node.op_type not in ("Div", "Mul") or len(others) != 1 or others[0] is None or node.input[0] != source:
            return False
        value = numpy_helper.to_array(others[0])
        wanted = 255.0 if node.op_type == "Div" else 1 / 255
        return value.size == 1 and math.isclose(float(value.reshape(())), wanted, rel_tol=1e-4)


def _random_frames() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (_FRAMES, *OBSERVATION_SHAPE), np.uint8)


def _frames(pixels: Pixels, kind: str) -> npt.NDArray[Any]:
    """Return observations as the foreign graph wants them."""
    raw = _random_frames()
    if kind == "uint8":
        return raw
    return raw.astype(np.float32) / np.float32(255) if pixels == "scaled" else raw.astype(np.float32)


def _output_of(name: str, data: bytes, game: str, frames: npt.NDArray[Any]) -> str:
    """Return the name of the one output [B, A], after it was computed several times."""
    session = open_session(name, data, 1)
    names, actions = [output.name for output in session.get_outputs()], action_count(game)
    found, again = (dict(zip(names, run_session(name, session, frames), strict=True)) for _ in range(2))
    fitting = [key for key, value in found.items() if getattr(value, "shape", None) == (len(frames), actions)]
    if len(fitting) != 1:
        shapes = ", ".join(f"{printable(key)} {list(getattr(value, 'shape', ()))}" for key, value in found.items())
        raise ModelFileError(
            f"{name}: {game} has {actions} actions (ALE's minimal set): expected one output [{len(frames)}, {actions}]"
            f" of {len(frames)} observations, found {shapes}"
        )
    outputs = found[fitting[0]]
    if outputs.dtype != np.float32 or not np.isfinite(outputs).all():
        raise ModelFileError(f"{name}: output {printable(fitting[0])}: expected finite float32, found {outputs.dtype}")
    one = np.concatenate([run_session(name, session, frames[at : at + 1], fitting)[0] for at in range(len(frames))])
    if not (np.allclose(outputs, again[fitting[0]], rtol=_SAME) and np.allclose(outputs, one, rtol=_SAME, atol=_SAME)):
        raise ModelFileError(
            f"{name}: expected the same outputs for the same observation, found others the next time or in another"
            " batch: a network in training, perhaps, with noise, dropout or batch normalisation"
        )
    return fitting[0]


def _labels(name: str, output: str, told: Told) -> Labels:
    words = words_of(output)
    found = "logits" if words & _LOGITS else "q-values" if words & _Q_VALUES else None
    if told.labels is not None:
        return told.labels
    if found is None:
        raise ModelFileError(
            f"{name}: the name of its output, {printable(output)}, does not say what it is; say with --labels"
            " whether it is q-values or logits of a policy"
        )
    return found


def _in_form(model: onnx.ModelProto, source: str, kind: str, pixels: Pixels, output: str, game: str) -> bytes:
    """Return a graph with uint8 observations as its input and one output, whatever it had before."""
    batch = next(value.type.tensor_type.shape.dim[0] for value in model.graph.input if value.name == source)
    size: int | str = 1 if batch.dim_value == 1 else "batch"
    inner = compose.add_prefix(model, _PREFIX)
    graph = inner.graph
    first: list[onnx.NodeProto] = []
    x = INPUT
    if kind == "float32":
        x = "floats"
        first.append(helper.make_node("Cast", [INPUT], [x], to=TensorProto.FLOAT))
    if pixels == "scaled":
        graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "most"))
        first.append(helper.make_node("Div", [x, "most"], ["scaled"]))
        x = "scaled"
    first.append(helper.make_node("Identity", [x], [f"{_PREFIX}{source}"]))
    last = helper.make_node("Identity", [f"{_PREFIX}{output}"], [output_name(game)])
    shape = [size, *OBSERVATION_SHAPE]
    weights = {tensor.name for tensor in graph.initializer}
    made = helper.make_graph(
        [*first, *graph.node, last],
        "teacher",
        [
            helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape),
            *(value for value in graph.input if value.name in weights),
        ],
        [helper.make_tensor_value_info(output_name(game), TensorProto.FLOAT, [size, action_count(game)])],
        list(graph.initializer),
    )
    return helper.make_model(
        made, opset_imports=list(model.opset_import), ir_version=model.ir_version
    ).SerializeToString()
