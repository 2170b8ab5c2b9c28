"""Mutated chunks: each is refused with a known reason, or is a chunk that obeys every rule."""

import dataclasses
import hashlib
import os
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.chunks import MAX_STEPS, REJECTION_REASONS, Chunk, ChunkDecoder, ChunkEncoder, column_shapes
from distill.errors import ChunkError
from tests.support.chunk_examples import example_chunk

GAMES = {"pong": 6, "freeway": 3}
COLUMNS = {
    "frames": np.uint8,
    "q_values": np.float32,
    "taken": np.uint8,
    "rewards": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "life_lost": np.bool_,
}
ENCODED = [ChunkEncoder().encode(example_chunk(steps, 6, seed)) for seed, steps in enumerate((1, 8, 8, 40))]
MESSAGES = [msgpack.unpackb(data[:-8]) for data in ENCODED]
DECODER = ChunkDecoder(GAMES)

indices = st.integers(0, len(ENCODED) - 1)
numbers = st.sampled_from([0, 1, 2, 3, 4, 6, 7, 8, 18, 19, 40, MAX_STEPS, MAX_STEPS + 1, 2**31, 2**62])
names = st.sampled_from(["pong", "freeway", "breakout"])
plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=80),
    st.binary(max_size=40),
    st.lists(st.integers(-9, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def seal(body: bytes) -> bytes:
    return body + hashlib.blake2b(body, digest_size=8).digest()


def mutate(draw: st.DrawFn, data: bytes) -> bytes:
    """Flip bits, cut, splice, repeat; positions near the ends, where the structure is, are as likely as all others."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        size = len(result)
        position = draw(st.one_of(st.integers(0, min(size, 200)), st.integers(0, size)))
        match draw(st.sampled_from(("flip", "set", "cut", "drop", "insert", "splice"))):
            case "flip" if position < size:
                result[position] ^= 1 << draw(st.integers(0, 7))
            case "set" if position < size:
                result[position] = draw(st.integers(0, 255))
            case "cut":
                del result[position:]
            case "drop":
                del result[position : position + draw(st.integers(1, 16))]
            case "insert":
                result[position:position] = draw(st.binary(min_size=1, max_size=16))
            case _:
                other = ENCODED[draw(indices)]
                start = draw(st.integers(0, len(other)))
                result[position : position + draw(st.integers(0, 64))] = other[start : start + draw(st.integers(0, 64))]
    return bytes(result)


@st.composite
def edited_header(draw: st.DrawFn) -> bytes:
    tag, header, columns = MESSAGES[draw(indices)]
    header, columns = dict(header), dict(columns)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(("number", "number", "text", "any", "drop", "column"))):
            case "number":
                numeric = ("sequence", "teacher_version", "driver_version", "steps", "actions", "first_age", "schema")
                header[draw(st.sampled_from(numeric))] = draw(numbers)
            case "text":
                header[draw(st.sampled_from(("game", "producer", "producer_id")))] = draw(names | st.text(max_size=70))
            case "any":
                header[draw(st.sampled_from(sorted(header)) | st.text(max_size=4))] = draw(plain_values)
            case "drop":
                header.pop(draw(st.sampled_from(sorted(header))))
            case _:
                columns[draw(st.sampled_from(sorted(columns)) | st.text(max_size=4))] = draw(plain_values)
    return seal(msgpack.packb([tag, header, columns]))


@st.composite
def edited_column(draw: st.DrawFn) -> bytes:
    """Replace a column by another frame: damaged, of another size, with other values, or of another chunk."""
    tag, header, columns = MESSAGES[draw(indices)]
    name = draw(st.sampled_from(sorted(COLUMNS)))
    shape = column_shapes(header["steps"], header["actions"])[name]
    size = int(np.prod(shape)) * np.dtype(COLUMNS[name]).itemsize
    match draw(st.sampled_from(("damage", "size", "values", "other", "bomb"))):
        case "damage":
            frame = mutate(draw, columns[name])
        case "size":
            frame = zstandard.compress(bytes(max(0, size + draw(st.integers(-8, 8)))))
        case "values":
            pattern = draw(st.binary(min_size=1, max_size=16))
            frame = zstandard.compress((pattern * (size // len(pattern) + 1))[:size])
        case "other":
            frame = MESSAGES[draw(indices)][2][draw(st.sampled_from(sorted(COLUMNS)))]
        case _:
            # The first byte after the magic number chooses the width of the declared size that follows.
            declared = draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little")
            frame = columns[name][:4] + bytes([0b1110_0000]) + declared + draw(st.binary(max_size=20))
    return seal(msgpack.packb([tag, header, columns | {name: frame}]))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    return mutate(draw, ENCODED[draw(indices)])


@st.composite
def damaged_and_sealed(draw: st.DrawFn) -> bytes:
    return seal(mutate(draw, ENCODED[draw(indices)][:-8]))


mutants = st.one_of(damaged(), damaged_and_sealed(), edited_header(), edited_column())


def assert_valid(chunk: Chunk) -> None:
    """Check every rule of a chunk again, without the module's own checks."""
    header = chunk.header
    for field in dataclasses.fields(header):
        value: Any = getattr(header, field.name)
        assert type(value) in (int, str)
        assert len(value.encode()) in range(1, 65) if type(value) is str else 0 <= value < 2**63
    assert GAMES[header.game] == header.actions
    assert 1 <= header.steps <= 1024
    assert 0 <= header.first_age <= 3
    assert chunk.frames.shape == (header.steps + 3, 84, 84)
    assert chunk.q_values.shape == (header.steps, header.actions)
    for name, dtype in COLUMNS.items():
        column = getattr(chunk, name)
        assert column.dtype == dtype
        assert len(column) == header.steps + (3 if name == "frames" else 0)
        if dtype is np.bool_:
            assert set(column.view(np.uint8).tolist()) <= {0, 1}
    assert np.isfinite(chunk.q_values).all()
    assert np.isfinite(chunk.rewards).all()
    assert (chunk.taken < header.actions).all()


def decode_mutant(data: bytes) -> None:
    try:
        chunk = DECODER.decode(data)
    except ChunkError as error:
        assert error.reason in REJECTION_REASONS
        assert len(str(error)) < 500
    else:
        assert_valid(chunk)
        # What was accepted means one thing only: encoded and decoded again, it is the same chunk.
        again = DECODER.decode(ChunkEncoder().encode(chunk))
        assert again.header == chunk.header
        assert all(getattr(again, name).tobytes() == getattr(chunk, name).tobytes() for name in COLUMNS)


# A mutant takes about a millisecond; the deadline is for one that hangs, not for a busy machine.
FAST = settings(max_examples=2_000, deadline=5_000, suppress_health_check=list(HealthCheck), derandomize=True)
LONG = settings(FAST, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100000")), derandomize=False)


@FAST
@given(mutants)
def test_2000_mutated_chunks(data: bytes) -> None:
    decode_mutant(data)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@LONG
@given(mutants)
def test_100000_mutated_chunks(data: bytes) -> None:
    decode_mutant(data)
