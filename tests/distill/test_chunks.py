import dataclasses
import hashlib
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import (
    MAX_ENCODED_BYTES,
    MAX_STEPS,
    REJECTION_REASONS,
    SCHEMA,
    Chunk,
    ChunkDecoder,
    ChunkEncoder,
    ages,
    pack,
    rebuild_observations,
)
from distill.errors import ChunkError
from distill.games import action_count, make_environment, reset_seed
from tests.support.chunk_examples import example_chunk

COLUMNS = ("frames", "q_values", "taken", "rewards", "terminated", "truncated", "life_lost")
chunks = st.builds(
    example_chunk,
    st.integers(1, 40),
    st.integers(1, 18),
    st.integers(0, 1000),
    first_age=st.integers(0, 3),
    ends=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)


def seal(body: bytes) -> bytes:
    return body + hashlib.blake2b(body, digest_size=8).digest()


def edited(chunk: Chunk, part: int, **changes: Any) -> bytes:
    """Return the encoded chunk with entries of its header (1) or columns (2) replaced, and a right checksum."""
    message = msgpack.unpackb(ChunkEncoder().encode(chunk)[:-8])
    message[part] |= changes
    return seal(msgpack.packb(message))


def refusal(data: bytes, games: dict[str, int] | None = None) -> str:
    with pytest.raises(ChunkError) as caught:
        ChunkDecoder(games).decode(data)
    assert caught.value.reason in REJECTION_REASONS
    assert len(str(caught.value)) < 500
    return caught.value.reason


@settings(deadline=None)
@given(chunks)
def test_round_trip(chunk: Chunk) -> None:
    decoded = ChunkDecoder({"pong": chunk.header.actions}).decode(ChunkEncoder().encode(chunk))
    assert decoded.header == chunk.header
    for name in COLUMNS:
        found, expected = getattr(decoded, name), getattr(chunk, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_the_largest_chunk_fits() -> None:
    chunk = example_chunk(MAX_STEPS, 18, noise=True)
    data = ChunkEncoder().encode(chunk)
    assert len(data) <= MAX_ENCODED_BYTES
    np.testing.assert_array_equal(ChunkDecoder().decode(data).frames, chunk.frames)


@settings(deadline=None)
@given(chunks)
def test_ages_count_from_every_episodes_first_step(chunk: Chunk) -> None:
    age, expected = chunk.header.first_age, list[int]()
    for t in range(chunk.header.steps):
        expected.append(min(age, 3))
        age = 0 if chunk.terminated[t] or chunk.truncated[t] else age + 1
    assert ages(chunk).tolist() == expected
    assert ages(chunk).dtype == np.uint8


@settings(deadline=None)
@given(chunks)
def test_rebuilt_observations_show_nothing_of_an_earlier_episode(chunk: Chunk) -> None:
    rebuilt = rebuild_observations(chunk)
    age = chunk.header.first_age
    for t in range(chunk.header.steps):
        for back in range(4):
            frame = chunk.frames[t + 3 - back] if back <= age else np.zeros((84, 84), np.uint8)
            np.testing.assert_array_equal(rebuilt[t, 3 - back], frame)
        age = 0 if chunk.terminated[t] or chunk.truncated[t] else age + 1


def test_rebuilt_observations_are_what_the_environment_showed() -> None:
    """Frames stored once per step, cut into chunks of 32 at will, give back ale-py's own stacks across episode ends."""
    environment = make_environment("breakout", 1, max_episode_frames=300)
    observation, _ = environment.reset(seed=reset_seed(1))
    random, actions = np.random.default_rng(0), action_count("breakout")
    shown, ended, age, frames = list[Any](), list[bool](), list[int](), [np.zeros((84, 84), np.uint8)] * 3
    while len(shown) < 160:
        shown.append(observation[0])
        frames.append(observation[0, 3])
        age.append(0 if not ended or ended[-1] else age[-1] + 1)
        observation, _, terminated, truncated, _ = environment.step(random.integers(actions, size=1))
        ended.append(bool(terminated[0] or truncated[0]))
        if ended[-1]:
            observation = environment.step(np.zeros(1, np.int64))[0]
    environment.close()
    assert sum(ended) >= 2
    for start in range(0, 160, 32):
        chunk = example_chunk(32, actions, first_age=min(3, age[start]))
        chunk = dataclasses.replace(
            chunk,
            frames=np.stack(frames[start : start + 35]),
            terminated=np.array(ended[start : start + 32]),
            truncated=np.zeros(32, np.bool_),
        )
        decoded = ChunkDecoder().decode(ChunkEncoder().encode(chunk))
        np.testing.assert_array_equal(rebuild_observations(decoded), np.stack(shown[start : start + 32]))


def test_plain_damage() -> None:
    data = ChunkEncoder().encode(example_chunk())
    for bad in (b"", b"x", data[:8], data[:-1], data + b"\0", b"\0" + data, data[8:], bytes(len(data))):
        assert refusal(bad) == "damaged"
    assert refusal(bytes(MAX_ENCODED_BYTES + 1)) == "damaged"
    renumbered = edited(example_chunk(), 1, sequence=5)
    assert ChunkDecoder().decode(renumbered).header.sequence == 5
    assert refusal(renumbered[:-8] + data[-8:]) == "damaged", "only the checksum tells"
    for body in (b"\xc1", b"\x93", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", b"\xc7\xff\x01", msgpack.packb([1] * 4)):
        assert refusal(seal(body)) == "damaged"


def test_foreign_schemas() -> None:
    chunk = example_chunk()
    for body in ([], [1, 2, 3], ["other", {}, {}], ["distill-chunk", 3, {}], ["distill-chunk", {}, {}], {"a": 1}, None):
        assert refusal(seal(msgpack.packb(body))) == "schema"
    for schema in (SCHEMA - 1, SCHEMA + 1, None, "1", True, 1.0, "x" * 100_000):
        assert refusal(edited(chunk, 1, schema=schema)) == "schema"
    assert refusal(edited(chunk, 1, colour="red")) == "schema"
    assert refusal(edited(chunk, 2, colour=b"")) == "schema"
    for name, value in [("game", 3), ("game", ""), ("producer_id", "x" * 65), ("producer", b"x"), ("producer", None)]:
        assert refusal(edited(chunk, 1, **{name: value})) == "schema"
    for name in ("sequence", "teacher_version", "driver_version", "steps", "actions", "first_age"):
        for value in (-1, 2**63, 1.0, True, None, "1", [1]):
            assert refusal(edited(chunk, 1, **{name: value})) == "schema"
    assert refusal(edited(chunk, 2, taken="text")) == "schema"


def test_another_runs_chunks() -> None:
    chunk = example_chunk()
    data = ChunkEncoder().encode(chunk)
    with pytest.raises(ChunkError, match=r"^chunk of run '(f0)+': expected one of run 'mine'$") as caught:
        ChunkDecoder(run_id="mine").decode(data)
    assert caught.value.reason == "other_run"
    for accepted in (chunk.header.run_id, None):
        assert ChunkDecoder(run_id=accepted).decode(data).header == chunk.header


def test_unknown_games_and_other_action_counts() -> None:
    data = ChunkEncoder().encode(example_chunk(actions=6))
    assert refusal(data, {"breakout": 4}) == "unknown_game"
    assert refusal(data, {"pong": 3}) == "shape"


def test_sizes_that_contradict_the_header() -> None:
    chunk = example_chunk(16, 6)
    for name, value in [("steps", 0), ("steps", MAX_STEPS + 1), ("actions", 0), ("actions", 19), ("first_age", 4)]:
        assert refusal(edited(chunk, 1, **{name: value})) == "shape"
    for name, value in [("steps", 15), ("steps", 1024), ("actions", 5)]:
        assert refusal(edited(chunk, 1, **{name: value})) == "shape"
    compress = zstandard.compress
    assert refusal(edited(chunk, 2, taken=compress(bytes(15)))) == "shape"
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(16))
    assert refusal(edited(chunk, 2, taken=unsized)) == "shape"
    assert refusal(edited(chunk, 2, taken=b"")) == "damaged"
    assert refusal(edited(chunk, 2, taken=compress(bytes(16))[:-1])) == "damaged"
    assert refusal(edited(chunk, 2, taken=compress(bytes(16)) + b"\0")) == "damaged"
    assert refusal(edited(chunk, 2, taken=compress(bytes(16)) * 2)) == "damaged"


def test_a_declared_bomb_is_refused_without_being_allocated() -> None:
    bomb = zstandard.compress(bytes(200 * 2**20))
    assert len(bomb) < 32_000
    # A frame may also declare a small content and a window of 1 GB to decode it with: header by hand, one RLE block.
    window = (
        b"\x28\xb5\x2f\xfd"
        + bytes([2 << 6, 20 << 3])
        + (16).to_bytes(4, "little")
        + (16 << 3 | 3).to_bytes(3, "little")
        + b"\0"
    )
    chunk = example_chunk(16)
    for data, accepted in [(edited(chunk, 2, frames=bomb), False), (edited(chunk, 2, taken=window), True)]:
        before = resident_peak()
        tracemalloc.start()
        try:
            ChunkDecoder().decode(data)
        except ChunkError as error:
            assert error.reason == "shape"
            assert not accepted
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20
        assert resident_peak() - before < 20 * 2**20


def resident_peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_values_that_no_environment_gives() -> None:
    chunk = example_chunk(16, 6)
    compress = zstandard.compress
    for bad in (np.nan, np.inf, -np.inf):
        for name, size in (("q_values", 96), ("rewards", 16)):
            values = np.zeros(size, np.float32)
            values[-1] = bad
            assert refusal(edited(chunk, 2, **{name: compress(values.tobytes())})) == "value"
    assert refusal(edited(chunk, 2, taken=compress(bytes([6] * 16)))) == "value"
    assert refusal(edited(chunk, 2, terminated=compress(bytes([2] * 16)))) == "value"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"q_values": np.zeros((16, 6))}, "shape"),
        ({"q_values": np.zeros((16, 6), ">f4")}, "shape"),
        ({"q_values": np.zeros((16, 5), np.float32)}, "shape"),
        ({"frames": np.zeros((18, 84, 84), np.uint8)}, "shape"),
        ({"terminated": np.zeros(16, np.uint8)}, "shape"),
        ({"taken": np.full(16, 6, np.uint8)}, "value"),
        ({"rewards": np.full(16, np.nan, np.float32)}, "value"),
    ],
)
def test_the_encoder_refuses_what_the_decoder_would(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ChunkError) as caught:
        ChunkEncoder().encode(dataclasses.replace(example_chunk(16, 6), **change))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "change",
    [{"producer": ""}, {"producer_id": "x" * 65}, {"sequence": -1}, {"first_age": np.uint8(1)}, {"first_age": 4}],
)
def test_the_encoder_refuses_headers_that_the_decoder_would(change: dict[str, Any]) -> None:
    chunk = example_chunk()
    with pytest.raises(ChunkError):
        ChunkEncoder().encode(dataclasses.replace(chunk, header=dataclasses.replace(chunk.header, **change)))


def test_strided_columns_are_encoded_in_order() -> None:
    chunk = example_chunk(16)
    strided = dataclasses.replace(
        chunk, q_values=np.asfortranarray(chunk.q_values), frames=np.repeat(chunk.frames, 2, axis=0)[::2]
    )
    assert ChunkEncoder().encode(strided) == ChunkEncoder().encode(chunk)


def test_compressed_columns_serve_many_headers() -> None:
    chunk = example_chunk()
    columns = ChunkEncoder().compress(chunk)
    assert pack(chunk.header, columns) == ChunkEncoder().encode(chunk)
    other = dataclasses.replace(chunk.header, run_id="another", producer_id="one more", sequence=7)
    found = ChunkDecoder(run_id="another").decode(pack(other, columns))
    assert found.header == other
    assert np.array_equal(found.frames, chunk.frames)
