import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.architectures import ARCHITECTURES, Architecture
from distill.errors import ModelFileError
from distill.games import PREPROCESSING
from distill.model_card import ModelCard, read_card, write_card
from distill.models import load_model, model_bytes, save_model
from distill.networks import QNetwork

TEACHERS = Path(__file__).parents[2] / "teachers"
ACTIONS = {"pong": 6, "breakout": 4}


def student(name: str = "net3") -> tuple[QNetwork, ModelCard]:
    torch.manual_seed(1)
    network = QNetwork(ARCHITECTURES[name], ACTIONS)
    scores = {"pong": {"mean": -2.5, "episodes": 2, "scores": [-2, -3.0]}}
    return network, ModelCard("student", network.architecture, ACTIONS, training={"updates": 7}, scores=scores)


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: dict[str, Any], tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    header, tensors = split(model_bytes(*student()))
    edit(header)
    return join(header, tensors)


def card_edit(key: str, edit: Callable[[Any], Any]) -> bytes:
    def change(header: dict[str, Any]) -> None:
        header["__metadata__"][key] = json.dumps(edit(json.loads(header["__metadata__"][key])))

    return edited(change)


@pytest.mark.parametrize("name", ["net3", "multi3"])
def test_round_trip(name: str, tmp_path: Path) -> None:
    network, card = student(name)
    path = tmp_path / "student.safetensors"
    save_model(path, network, card)
    for source in (path, path.read_bytes()):
        loaded, found = load_model(source)
        assert found == card
        assert list(found.actions) == list(ACTIONS), "games keep their order"
        assert (loaded.architecture, loaded.actions) == (network.architecture, network.actions)
        for key, value in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
        assert all(parameter.requires_grad and not parameter.is_meta for parameter in loaded.parameters())
    assert read_card(path) == card
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "no temporary file is left"


def test_a_file_is_plain_safetensors_and_deterministic(tmp_path: Path) -> None:
    network, card = student()
    data = model_bytes(network, card)
    assert data == model_bytes(network.to(memory_format=torch.channels_last), card)
    tensors = safetensors.torch.load(data)
    assert set(tensors) == set(network.state_dict())
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_float16_halves_the_file_and_computing_is_float32() -> None:
    network, card = student()
    half, full = model_bytes(network, card, "float16"), model_bytes(network, card)
    assert len(split(half)[1]) * 2 == len(split(full)[1])
    loaded, _ = load_model(half)
    for key, value in network.state_dict().items():
        assert loaded.state_dict()[key].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[key], value.half().float())
    with torch.no_grad():
        network.fc.weight[0, 0] = 1e6
    with pytest.raises(ModelFileError, match=r"float16: tensor fc.weight: expected finite"):
        model_bytes(network, card, "float16")


def test_a_card_is_rewritten_without_touching_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    network, card = student()
    save_model(path, network, card)
    before = split(path.read_bytes())[1]
    changed = dataclasses.replace(card, scores={"pong": {"mean": 3.0, "scores": [3.0] * 500}}, kind="teacher")
    write_card(path, changed)
    assert read_card(path) == load_model(path)[1] == changed
    assert split(path.read_bytes())[1] == before
    with pytest.raises(ModelFileError, match="expected a card of"):
        write_card(path, dataclasses.replace(card, actions={"pong": 6}))


def test_a_card_of_another_network_is_not_saved() -> None:
    network, card = student()
    with pytest.raises(ModelFileError, match="as the network has"):
        model_bytes(network, dataclasses.replace(card, architecture=ARCHITECTURES["net1"]))
    with pytest.raises(ModelFileError, match=r"pong has 6 actions.*found 18"):
        model_bytes(QNetwork(network.architecture, {"pong": 18}), dataclasses.replace(card, actions={"pong": 18}))


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written: No such file"):
        save_model(tmp_path / "absent" / "student.safetensors", *student())
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(taken, *student())
    assert list(tmp_path.iterdir()) == [taken]


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("this is no model")
    empty = tmp_path / "empty"
    empty.touch()
    for path, message in [
        (tmp_path / "absent", "nothing there"),
        (tmp_path, "a directory"),
        (text, "not a safetensors file"),
        (empty, "not a safetensors file"),
        (Path("/dev/zero"), "something else"),
    ]:
        for read in (load_model, read_card):
            with pytest.raises(ModelFileError, match=message) as caught:
                read(path)
            assert str(path) in str(caught.value)


def test_a_file_of_any_shorter_length_is_truncated(tmp_path: Path) -> None:
    data = model_bytes(*student())
    path = tmp_path / "short.safetensors"
    for length in (1, 8, 9, 200, 2_000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        for read in (load_model, read_card):
            with pytest.raises(ModelFileError, match=r"truncated|not a safetensors"):
                read(path)
    with pytest.raises(ModelFileError, match="truncated or damaged"):
        load_model(data + b"\0")


def delete(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda header: header.pop(key)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (edited(delete("__metadata__")), "without a card"),
        (edited(lambda h: h["__metadata__"].update(format_version="2")), "expected format version 1, found '2'"),
        (edited(lambda h: h["__metadata__"].update(kind='"pupil"')), "teacher or student, found 'pupil'"),
        (edited(lambda h: h["__metadata__"].update(training="{")), "damaged card"),
        (edited(lambda h: h["__metadata__"].update(scores="NaN")), "damaged card"),
        (edited(lambda h: h["__metadata__"].update(training="[" * 50_000)), "damaged card"),
        (edited(lambda h: h["__metadata__"].pop("actions")), "damaged card"),
        (card_edit("training", lambda _: [1]), "card field training: expected a map, found list"),
        (card_edit("actions", lambda _: {}), "at least one game"),
        (card_edit("actions", lambda a: a | {"pongg": 6}), "'pongg'.*did you mean pong"),
        (card_edit("actions", lambda a: a | {"pong": 3}), "pong has 6 actions .*found 3"),
        (card_edit("actions", lambda a: a | {"pong": 6.0}), r"pong has 6 actions .*found 6\.0"),
        (card_edit("actions", lambda a: a | {"qbert": 6}), r"missing \['heads.qbert.0.bias', 'heads.qbert.0.weight'\]"),
        (card_edit("scores", lambda _: {"qbert": {}}), "scores of 'qbert'"),
        (card_edit("scores", lambda _: {"pong": {"scores": ["x"]}}), "scores of 'pong'"),
        (card_edit("scores", lambda _: {"pong": {"scores": [10**400]}}), "scores of 'pong'"),
        (card_edit("preprocessing", lambda p: p | {"frame_skip": 5}), "preprocessing frame_skip: expected 4, found 5"),
        (card_edit("preprocessing", lambda p: p | {"max_pool": 1}), "preprocessing max_pool: expected True, found 1"),
        (card_edit("preprocessing", lambda p: p | {"mirror": True}), "preprocessing mirror: expected None, found True"),
        (card_edit("preprocessing", lambda _: {}), "preprocessing fire_reset: expected True, found None"),
        (card_edit("architecture", lambda a: a | {"hidden": 128}), r"tensor fc.bias: expected \[128\]"),
        (card_edit("architecture", lambda a: a | {"controller_hidden": 64}), "do not fit its card"),
        (card_edit("architecture", lambda a: a | {"controller_hidden": 0}), "sizes from 1"),
        (card_edit("architecture", lambda a: a | {"channels": [1, 2]}), "three channel counts"),
        (card_edit("architecture", lambda a: a | {"channels": ["8", 8, 8]}), "three channel counts"),
        (card_edit("architecture", lambda a: a | {"hidden": 10**12}), "sizes from 1"),
        (card_edit("architecture", lambda a: a | {"hidden": 2**16, "channels": [2**16] * 3}), r"expected \[65536"),
        (card_edit("architecture", lambda a: a | {"depth": 3}), "damaged card"),
        (edited(delete("fc.bias")), "do not fit its card|truncated"),
        (edited(lambda h: h.update(extra=h.pop("fc.bias"))), r"missing \['fc.bias'\], unknown \['extra'\]"),
        (edited(lambda h: h["fc.bias"].update(shape=[32, 2])), r"tensor fc.bias: expected \[64\].*found \[32, 2\]"),
        (edited(lambda h: h["fc.bias"].update(dtype="I32")), "tensor fc.bias.*found .* I32"),
        (edited(lambda h: h["fc.bias"].update(dtype="F16")), "damaged safetensors"),
        (edited(lambda h: h["fc.bias"].update(data_offsets=h["fc.weight"]["data_offsets"])), "damaged safetensors"),
        (edited(lambda h: h["fc.bias"].update(data_offsets=[0, "x"])), "header cannot be read"),
        (edited(lambda h: h.update({"fc.bias": None})), "header cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(data: bytes, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(data)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    header, tensors = split(model_bytes(*student()))
    values = np.frombuffer(tensors, np.float32).copy()
    values[5] = value
    with pytest.raises(ModelFileError, match="expected finite weights"):
        load_model(join(header, values.tobytes()))


BYTES = model_bytes(*student("one_percent"))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_header_is_refused_or_read_whole(data: st.DataObject) -> None:
    length = int.from_bytes(BYTES[:8], "little")
    damaged = bytearray(BYTES)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, length + 7))] = data.draw(st.integers(0, 255))
    try:
        network, card = load_model(bytes(damaged))
    except ModelFileError:
        return
    assert card.preprocessing == PREPROCESSING
    assert network.actions == card.actions == ACTIONS


@pytest.mark.parametrize(
    ("game", "actions", "least"),
    [
        ("pong", 6, 15.0),
        ("freeway", 3, 20.0),
        ("ms_pacman", 9, 1_200.0),
        ("breakout", 4, 30.0),
        ("qbert", 6, 2_000.0),
    ],
)
def test_the_committed_teachers(game: str, actions: int, least: float) -> None:
    path = TEACHERS / f"{game}.safetensors"
    network, card = load_model(path)
    assert path.stat().st_size <= 3.5e6
    assert (card.kind, card.actions, card.architecture) == ("teacher", {game: actions}, ARCHITECTURES["teacher"])
    score = card.scores[game]
    assert score["episodes"] == len(score["scores"]) >= 200
    assert score["mean"] >= least
    assert score["mean"] == pytest.approx(np.mean(score["scores"]))
    assert score["epsilon"] == 0.05
    assert card.training["method"]
    assert network.architecture == Architecture("teacher", (32, 64, 64), 512)
