"""Networks of Flax: msgpack and safetensors with its names, and arrays in its layout."""

from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.errors import ModelFileError
from distill.flax_files import read_flax_file
from distill.importing import import_teacher
from tests.support.flax_networks import Arrays, flax_network, packed, q_values
from tests.support.real_frames import assert_same, real_frames


@pytest.mark.parametrize("wrap", [
    lambda network: {"params": network},
    lambda network: {"0": {"seed": 1}, "1": {"params": {"params": network}}},
])  # fmt: skip
def test_msgpack(wrap: Any, tmp_path: Path) -> None:
    model, path = flax_network(), tmp_path / "dqn_atari_jax.cleanrl_model"
    path.write_bytes(packed(wrap(model)))
    network, card = import_teacher(path, "pong")
    assert_same(network, "pong", q_values(model, real_frames("pong")))
    assert card.training["imported_from"]["format"] == "Flax msgpack"


@pytest.mark.parametrize("separator", [".", "/"])
def test_safetensors_with_the_names_of_flax(separator: str, tmp_path: Path) -> None:
    model, path = flax_network(), tmp_path / "q.safetensors"
    flat = {
        f"params{separator}{name}{separator}{part}": a for name, layer in model.items() for part, a in layer.items()
    }
    safetensors.numpy.save_file(flat, path)
    network, _ = import_teacher(path, "pong")
    assert_same(network, "pong", q_values(model, real_frames("pong")))


def test_a_categorical_network_of_cleanrl_with_its_arguments(tmp_path: Path) -> None:
    model, path = flax_network(6 * 51), tmp_path / "c51_atari_jax.cleanrl_model"
    arguments = {"seed": 1, "exp_name": "c51", "n_atoms": 51, "v_min": -10, "v_max": 10.0, "capture_video": False}
    path.write_bytes(packed({"model_weights": {"params": model}, "args": arguments}))
    network, _ = import_teacher(path, "pong")
    logits = q_values(model, real_frames("pong")).view(-1, 6, 51)
    assert_same(network, "pong", (logits.softmax(2) * torch.linspace(-10, 10, 51)).sum(2))
    path.write_bytes(packed({"model_weights": {"params": model}, "args": arguments | {"n_atoms": 10**12}}))
    with pytest.raises(ModelFileError, match="51 an action, as of C51 or QR-DQN"):
        import_teacher(path, "pong")


def zeros(*shape: int) -> dict[str, npt.NDArray[Any]]:
    return {"kernel": np.zeros(shape, np.float32), "bias": np.zeros(shape[-1], np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Conv_0": zeros(8, 8, 3, 32)}, "one frame in RGB, or 3 frames"),
        ({"Dense_0": zeros(6400, 512)}, "reads 6400 values, not 3136 or 7744"),
        ({"Dense_1": zeros(512, 4)}, "pong has 6 actions"),
    ],
)
def test_networks_that_do_not_fit(change: Arrays, message: str, tmp_path: Path) -> None:
    path = tmp_path / "q.msgpack"
    path.write_bytes(packed({"params": flax_network() | change}))
    with pytest.raises(ModelFileError, match=message):
        import_teacher(path, "pong")


def deep(levels: int) -> Any:
    value: Any = {"kernel": 1}
    for _ in range(levels):
        value = {"params": value}
    return value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packed({"params": flax_network()})[:-1], "truncated or damaged msgpack"),
        (packed({"params": flax_network()}) + b"x", "1 bytes follow its end"),
        (packed(deep(40)), "nested more than 16 times"),
        (packed({"params": [0] * 200_000}), "more than 100000 values"),
        (msgpack.packb({"params": {"kernel": msgpack.ExtType(1, b"x")}}), "has no shape, type and bytes|damaged"),
        (packed({"params": {"kernel": np.zeros(3, "complex64")}}), "has no shape, type and bytes"),
        (b"\x81\xa6params\x81\x93\x01\x02\x03\x04", "a key of a map is a map or a list"),
        (b"\x81\xa6params\xdf\xff\xff\xff\xff", "truncated or damaged msgpack"),
        (b"\x81\xa6params\xdd\xff\xff\xff\xff", "truncated or damaged msgpack"),
        (b"\x81\xa6params\xc6\xff\xff\xff\xff", "truncated or damaged msgpack"),
    ],
)
def test_damaged_msgpack(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "q.msgpack"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(path, "pong")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


SMALL = packed({"params": {"Conv_0": {"kernel": np.ones((1, 1, 2, 3), np.float32), "bias": np.ones(3, np.float32)}}})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for position, value in flips:
        data[position] = value
    try:
        read_flax_file("q", bytes(data))
    except ModelFileError as error:
        assert "\n" not in str(error)
