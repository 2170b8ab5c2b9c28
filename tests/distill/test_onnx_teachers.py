"""ONNX graphs of any layers label as they did where they came from, and say what is not clear about them."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from distill.architectures import Graph
from distill.conversion import Told
from distill.errors import DistillError, ModelFileError
from distill.importing import import_teacher
from distill.inference import load_q_function
from distill.label_graph import LabelGraph, graph_bytes, load_graph
from distill.model_card import read_card
from distill.models import load_model
from distill.student import load_student
from tests.support.foreign_graphs import foreign_graph, outputs_of
from tests.support.real_frames import real_frames

FLOATS = {"raw": lambda frames: frames.astype(np.float32), "scaled": lambda frames: frames.astype(np.float32) / 255}


def imported(path: Path, model: onnx.ModelProto, told: Told | None = None) -> tuple[LabelGraph, Any]:
    path.write_bytes(model.SerializeToString())
    graph, card = import_teacher(path, "pong", told)
    assert isinstance(graph, LabelGraph)
    return graph, card


@pytest.mark.parametrize(
    ("model", "told", "pixels"),
    [
        (foreign_graph("uint8", "divides"), Told(), None),
        (foreign_graph("uint8", "none"), Told(), None),
        (foreign_graph("float32", "divides"), Told(), "raw"),
        (foreign_graph("float32", "multiplies"), Told(), "raw"),
        (foreign_graph("float32", "casts and divides"), Told(), "raw"),
        (foreign_graph("float32", "divides"), Told(pixels="raw"), "raw"),
        (foreign_graph("float32", "none"), Told(pixels="raw"), "raw"),
        (foreign_graph("float32", "none"), Told(pixels="scaled"), "scaled"),
        (foreign_graph("uint8", "divides", shape=(1, 4, 84, 84)), Told(), None),
        (foreign_graph("uint8", shape=("N", 4, "H", "W")), Told(), None),
        (foreign_graph("uint8", outputs=("logits",)), Told(), None),
        (foreign_graph("uint8", outputs=("output",)), Told(labels="logits"), None),
    ],
)
def test_its_labels_are_those_of_the_graph(
    model: onnx.ModelProto, told: Told, pixels: str | None, tmp_path: Path
) -> None:
    graph, card = imported(tmp_path / "q.onnx", model, told)
    frames = real_frames("pong")
    expected = outputs_of(model, frames if pixels is None else FLOATS[pixels](frames))
    assert np.abs(expected).max() > 1e-2
    data = graph_bytes(graph, card)
    assert load_graph(data) == (graph, card)
    path = tmp_path / "pong.safetensors"
    path.write_bytes(data)
    assert read_card(path) == card
    for source in (path, data):
        q_function, _ = load_q_function(source)
        np.testing.assert_allclose(q_function(frames, "pong"), expected, rtol=0, atol=1e-5)
    student = load_student(path)
    assert (student.act(frames, "pong") == expected.argmax(1)).all()
    with pytest.raises(DistillError, match="'breakout': this network plays pong"):
        q_function(frames, "breakout")
    assert isinstance(card.architecture, Graph) and card.architecture.parameters > 0
    assert card.labels == ("logits" if "logits" in (told.labels, model.graph.output[0].name) else "q-values")


def test_what_was_found_out_is_told(tmp_path: Path) -> None:
    for model, told, seen in (
        (foreign_graph("uint8"), Told(), "input: pixels from 0 to 255, since it takes uint8"),
        (foreign_graph(), Told(), "input: pixels from 0 to 255, since it divides them by 255"),
        (foreign_graph(scale="none"), Told(pixels="scaled"), "input: pixels from 0 to 1, as was said"),
    ):
        _, card = imported(tmp_path / "q.onnx", model, told)
        assert card.training["imported_from"]["seen"] == [seen, "output q_values: q-values"]
        assert card.training["imported_from"]["format"] == "ONNX"


def test_it_only_labels(tmp_path: Path) -> None:
    data = graph_bytes(*imported(tmp_path / "q.onnx", foreign_graph()))
    with pytest.raises(ModelFileError, match="an ONNX graph, which only labels and plays"):
        load_model(data)


def test_it_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "q.onnx.gz"
    path.write_bytes(gzip.compress(foreign_graph().SerializeToString()))
    assert isinstance(import_teacher(path, "pong")[0], LabelGraph)


def beside(change: Any) -> onnx.ModelProto:
    model = foreign_graph("uint8")
    change(model)
    return model


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def noisy(model: onnx.ModelProto) -> None:
    last = model.graph.node[-1]
    noise = helper.make_node("RandomNormal", [], ["noise"], shape=[1, 6], scale=5.0)
    added = helper.make_node("Add", ["quiet", "noise"], [last.output[0]])
    last.output[0] = "quiet"
    model.graph.node.extend([noise, added])


def by_batch(model: onnx.ModelProto) -> None:
    last = model.graph.node[-1]
    mean = helper.make_node("ReduceMean", ["alone"], ["mean"], axes=[0], keepdims=1)
    less = helper.make_node("Sub", ["alone", "mean"], [last.output[0]])
    last.output[0] = "alone"
    model.graph.node.extend([mean, less])


def foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def endless(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6]),
        ],
    )
    last = model.graph.node[-1]
    loop = helper.make_node("Loop", ["", "go", "once"], [last.output[0]], body=body)
    last.output[0] = "once"
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    model.graph.node.append(loop)


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 8]))


def not_finite(model: onnx.ModelProto) -> None:
    old = model.graph.initializer[-1]
    old.CopyFrom(numpy_helper.from_array(np.full((8, 6), np.nan, np.float32), old.name))


@pytest.mark.parametrize(
    ("model", "told", "message"),
    [
        (foreign_graph(scale="none"), Told(), "does not divide them by 255 itself; say with --pixels"),
        (foreign_graph(), Told(pixels="scaled"), "pixels: expected raw, since it divides them by 255, found scaled"),
        (foreign_graph("uint8"), Told(pixels="scaled"), "pixels: expected raw, since it takes uint8, found scaled"),
        (foreign_graph("float64", "divides"), Told(), "expected an input of uint8 or float, found double"),
        (foreign_graph("uint8", outputs=("output",)), Told(), "output, does not say what it is; say with --labels"),
        (
            foreign_graph("uint8", shape=("N", 3, 84, 84)),
            Told(),
            r"found \[\?, 3, 84, 84\]: one frame in RGB, or 3 fra",
        ),
        (foreign_graph("uint8", shape=("N", 4, 96, 96)), Told(), r"an input \[B, 4, 84, 84\], found \[\?, 4, 96, 96\]"),
        (foreign_graph("uint8", shape=("N", 84, 84, 4)), Told(), "frames last, export it with frames first"),
        (foreign_graph("uint8", shape=(16, 4, 84, 84)), Told(), "expected an input of any batch, or of 1"),
        (
            foreign_graph("uint8", actions=4),
            Told(),
            r"pong has 6 actions .*one output \[3, 6\] of 3 .*q_values \[3, 4\]",
        ),
        (
            foreign_graph("uint8", outputs=("q", "target_q")),
            Told(),
            r"one output .*found q \[3, 6\], target_q \[3, 6\]",
        ),
        (beside(external), Told(), "its weights are in other files|truncated or damaged ONNX"),
        (beside(noisy), Told(), "the same outputs for the same observation, found others"),
        (beside(by_batch), Told(), "the same outputs for the same observation, found others"),
        (beside(foreign_operator), Told(), "expected operators of ONNX alone, found those of com.microsoft"),
        (beside(endless), Told(), "a graph without loops, found Loop: a teacher has no memory"),
        (beside(two_inputs), Told(), "expected one input, found 2"),
        (beside(not_finite), Told(), "output q_values: expected finite float32"),
    ],
)
def test_what_is_not_clear_or_does_not_fit_is_refused(
    model: onnx.ModelProto, told: Told, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        imported(tmp_path / "q.onnx", model, told)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path / "q.onnx"))


def test_truncated_files(tmp_path: Path) -> None:
    data, path = foreign_graph().SerializeToString(), tmp_path / "q.onnx"
    for length in (len(data) - 1, len(data) // 2, 40):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="truncated or damaged"):
            import_teacher(path, "pong")
    card = import_teacher_of(tmp_path)
    for length in (len(card) - 1, len(card) // 2):
        with pytest.raises(ModelFileError, match="truncated or damaged"):
            load_graph(card[:length])


def import_teacher_of(folder: Path) -> bytes:
    return graph_bytes(*imported(folder / "whole.onnx", foreign_graph()))


SMALL = foreign_graph("uint8").SerializeToString()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_read_or_refused(tmp_path_factory: Any, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for position, value in flips:
        data[position] = value
    path = tmp_path_factory.mktemp("flips") / "q.onnx"
    path.write_bytes(data)
    try:
        import_teacher(path, "pong")
    except ModelFileError as error:
        assert "\n" not in str(error)
