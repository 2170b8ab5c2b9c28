"""The wire format: consecutive steps of one lane as msgpack with zstd columns and a checksum.

An encoded chunk is `msgpack([MAGIC, header, columns]) + blake2b-64`. The header is a map of plain values; every column
is one zstd frame that declares its size. Frames are stored once per step: `frames[0:3]` precede the first step, so the
observation of step t is `frames[t:t+4]`, except that frames from before the episode's first step are zero
(`rebuild_observations`).

Decoding trusts nothing: sizes are bounded and compared before anything is allocated, and every refusal is a
`ChunkError` with a reason.
"""

import hashlib
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, cast

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from distill.errors import ChunkError
from distill.games import FRAME_SHAPE, MAX_ACTIONS, STACK

SCHEMA = 2
MAGIC = "distill-chunk"
PREFIX = STACK - 1
"""Frames that precede a chunk's first step."""
MAX_STEPS = 1024
MAX_ENCODED_BYTES = 16 * 2**20
MAX_NAME_BYTES = 64
NO_RUN = "none"
"""Run id of chunks that belong to no run, as in a benchmark."""
CHECKSUM_BYTES = 8
ZSTD_LEVEL = 1
REJECTION_REASONS = ("foreign", "damaged", "schema", "other_run", "unknown_game", "shape", "value")


@dataclass(frozen=True)
class ChunkHeader:
    """Who produced a chunk, of what, and how large it is.

    Attributes:
        run_id: random id of the run.
        game: ROM name, the game label.
        producer: name of the producing actor.
        producer_id: random id of the producer's process.
        sequence: 0, 1, 2, ... of that process.
        teacher_version: version of the teacher that labelled, 0 for a teacher from a file.
        driver_version: version of the student that picked actions, 0 if none did.
        steps: T.
        actions: A of the game.
        first_age: steps since the episode's first observation at step 0, at most 3.
    """

    run_id: str
    game: str
    producer: str
    producer_id: str
    sequence: int
    teacher_version: int
    driver_version: int
    steps: int
    actions: int
    first_age: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """T consecutive steps of one lane.

    Attributes:
        header: see `ChunkHeader`.
        frames: [T + 3, 84, 84] uint8, oldest first.
        q_values: [T, A] float32, the teacher's labels.
        taken: [T] uint8, the action taken at each step.
        rewards: [T] float32, raw.
        terminated: [T] bool.
        truncated: [T] bool.
        life_lost: [T] bool.
    """

    header: ChunkHeader
    frames: npt.NDArray[np.uint8]
    q_values: npt.NDArray[np.float32]
    taken: npt.NDArray[np.uint8]
    rewards: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    life_lost: npt.NDArray[np.bool_]


_COLUMNS: tuple[tuple[str, type[np.generic]], ...] = (
    ("frames", np.uint8),
    ("q_values", np.float32),
    ("taken", np.uint8),
    ("rewards", np.float32),
    ("terminated", np.bool_),
    ("truncated", np.bool_),
    ("life_lost", np.bool_),
)
_HEADER_FIELDS = tuple(field.name for field in fields(ChunkHeader))
_TEXT_FIELDS = ("run_id", "game", "producer", "producer_id")


class _Levels(Protocol):
    """The class `zstandard.ZstdCompressionParameters`, which gives the settings in `from_level` no types."""

    def from_level(self, level: int, *, write_content_size: bool) -> zstandard.ZstdCompressionParameters: ...


_COMPRESSOR_PARAMETERS = cast(_Levels, zstandard.ZstdCompressionParameters).from_level(
    ZSTD_LEVEL, write_content_size=True
)


def column_shapes(steps: int, actions: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every column of a chunk of T = `steps` and A = `actions`."""
    return {name: (steps,) for name, _ in _COLUMNS} | {
        "frames": (steps + PREFIX, *FRAME_SHAPE),
        "q_values": (steps, actions),
    }


class ChunkEncoder:
    """Encodes chunks; keeps one zstd context, so it belongs to one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(compression_params=_COMPRESSOR_PARAMETERS)

    def encode(self, chunk: Chunk) -> bytes:
        """Return the chunk as bytes.

        Raises:
            ChunkError: if a header field is out of bounds, or a column's shape, dtype or values are not what it says.
        """
        return pack(chunk.header, self.compress(chunk))

    def compress(self, chunk: Chunk) -> dict[str, bytes]:
        """Return the columns of a chunk by name, each as one zstd frame.

        Raises:
            ChunkError: as `encode` does.
        """
        _check_header(_values(chunk.header))
        _check_columns(chunk)
        return {
            name: self._compressor.compress(np.ascontiguousarray(getattr(chunk, name)).data) for name, _ in _COLUMNS
        }


def pack(header: ChunkHeader, columns: Mapping[str, bytes]) -> bytes:
    """Return an encoded chunk.

    Args:
        header: a valid one.
        columns: of that many steps and actions, as `ChunkEncoder.compress` returns them.
    """
    body = msgpack.packb([MAGIC, _values(header) | {"schema": SCHEMA}, dict(columns)])
    return body + _checksum(body)


class ChunkDecoder:
    """Decodes and validates chunks; keeps one zstd context, so it belongs to one thread.

    Args:
        games: the accepted game labels with their action counts; None accepts any label.
        run_id: of the run whose chunks are accepted; None accepts those of any run.
    """

    def __init__(self, games: dict[str, int] | None = None, run_id: str | None = None) -> None:
        self._games = games
        self._run_id = run_id
        self._decompressor = zstandard.ZstdDecompressor()

    def decode(self, data: bytes) -> Chunk:
        """Return the chunk that `data` encodes.

        Never allocates more than the header's bounded T and A allow.

        Raises:
            ChunkError: with its reason, for anything but a whole and valid chunk.
        """
        if not CHECKSUM_BYTES < len(data) <= MAX_ENCODED_BYTES:
            raise ChunkError("damaged", f"chunk of {len(data)} bytes: expected 9 to {MAX_ENCODED_BYTES}")
        body = memoryview(data)[:-CHECKSUM_BYTES]
        if _checksum(body) != data[-CHECKSUM_BYTES:]:
            raise ChunkError("damaged", f"chunk of {len(data)} bytes: its checksum does not match")
        header, columns = _unpack(body)
        if self._run_id not in (None, header.run_id):
            raise ChunkError("other_run", f"chunk of run {header.run_id!r}: expected one of run {self._run_id!r}")
        if self._games is not None:
            actions = self._games.get(header.game)
            if actions is None:
                raise ChunkError("unknown_game", f"chunk of game {header.game!r}: this run has {sorted(self._games)}")
            if actions != header.actions:
                raise ChunkError("shape", f"chunk of {header.game}: expected {actions} actions, found {header.actions}")
        shapes = column_shapes(header.steps, header.actions)
        chunk = Chunk(header, **{n: self._column(n, columns[n], dtype, shapes[n]) for n, dtype in _COLUMNS})
        _check_columns(chunk)
        return chunk

    def _column(self, name: str, data: bytes, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
        # zstandard ignores max_output_size where a frame declares its size, so the declaration is checked first.
        try:
            declared = zstandard.frame_content_size(data)
            if declared != expected:
                raise ChunkError("shape", f"column {name}: expected {expected} bytes, the frame declares {declared}")
            raw = self._decompressor.decompress(data, max_output_size=expected, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ChunkError("damaged", f"column {name}: {error}") from error
        if len(raw) != expected:
            raise ChunkError("shape", f"column {name}: expected {expected} bytes, found {len(raw)}")
        if dtype is np.bool_ and raw.translate(None, b"\x00\x01"):
            raise ChunkError("value", f"column {name}: expected 0 or 1 in every byte")
        return np.frombuffer(raw, dtype).reshape(shape)


def _values(header: ChunkHeader) -> dict[str, Any]:
    return {name: getattr(header, name) for name in _HEADER_FIELDS}


def _unpack(body: memoryview) -> tuple[ChunkHeader, dict[str, bytes]]:
    try:
        # Lengths are bounded by the body's own; the counts keep a hostile body from building large containers.
        message: Any = msgpack.unpackb(body, strict_map_key=True, max_array_len=3, max_map_len=32, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise ChunkError("damaged", f"not msgpack: {error}") from error
    if not (isinstance(message, list) and len(cast(list[Any], message)) == 3 and message[0] == MAGIC):
        raise ChunkError("schema", f"expected [{MAGIC!r}, header, columns]")
    _, found, columns = cast(list[Any], message)
    header = cast(dict[Any, Any], found) if isinstance(found, dict) else None
    if header is None or type(header.get("schema")) is not int or header["schema"] != SCHEMA:
        schema = type(cast(object, found)).__name__ if header is None else header.get("schema")
        raise ChunkError("schema", f"expected schema {SCHEMA}, found {reprlib.repr(schema)}")
    if set(header) != {*_HEADER_FIELDS, "schema"}:
        raise ChunkError("schema", f"expected the header fields {_HEADER_FIELDS} and schema, and no others")
    values = {name: header[name] for name in _HEADER_FIELDS}
    _check_header(values)
    names = {name for name, _ in _COLUMNS}
    if not isinstance(columns, dict) or set(cast(dict[Any, Any], columns)) != names:
        raise ChunkError("schema", f"expected the columns {sorted(names)}")
    if any(type(column) is not bytes for column in cast(dict[str, Any], columns).values()):
        raise ChunkError("schema", "expected every column as bytes")
    return ChunkHeader(**values), cast(dict[str, bytes], columns)


def _check_header(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name in _TEXT_FIELDS:
            if type(value) is not str or not 0 < len(value.encode()) <= MAX_NAME_BYTES:
                raise ChunkError("schema", f"header field {name}: expected 1 to {MAX_NAME_BYTES} bytes of text")
        elif type(value) is not int or not 0 <= value < 2**63:
            raise ChunkError("schema", f"header field {name}: expected a whole number from 0")
    for name, low, high in (("steps", 1, MAX_STEPS), ("actions", 1, MAX_ACTIONS), ("first_age", 0, PREFIX)):
        if not low <= values[name] <= high:
            raise ChunkError("shape", f"header field {name}: expected {low} to {high}, found {values[name]}")


def _check_columns(chunk: Chunk) -> None:
    header = chunk.header
    shapes = column_shapes(header.steps, header.actions)
    for name, dtype in _COLUMNS:
        column = getattr(chunk, name)
        if column.shape != shapes[name] or column.dtype != dtype:
            expected = f"{shapes[name]} {np.dtype(dtype).name}"
            raise ChunkError("shape", f"column {name}: expected {expected}, found {column.shape} {column.dtype}")
    if not (np.isfinite(chunk.q_values).all() and np.isfinite(chunk.rewards).all()):
        raise ChunkError("value", f"chunk of {header.game}: q-values and rewards must be finite")
    if int(chunk.taken.max()) >= header.actions:
        raise ChunkError("value", f"action {int(chunk.taken.max())}: {header.game} has {header.actions} actions")


def _checksum(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECKSUM_BYTES).digest()


def ages(chunk: Chunk) -> npt.NDArray[np.uint8]:
    """Return [T] uint8: steps since the episode's first observation, at most 3.

    An observation's oldest 3 - age frames are zero.
    """
    result = np.full(chunk.header.steps, PREFIX, np.uint8)
    starts = np.flatnonzero(chunk.terminated | chunk.truncated) + 1
    for start, age in [(0, chunk.header.first_age), *((int(s), 0) for s in starts)]:
        ramp = np.arange(age, PREFIX, dtype=np.uint8)[: max(0, chunk.header.steps - start)]
        result[start : start + len(ramp)] = ramp
    return result


def rebuild_observations(chunk: Chunk) -> npt.NDArray[np.uint8]:
    """Return [T, 4, 84, 84] uint8: what the policy saw at every step, bit for bit."""
    windows = np.lib.stride_tricks.sliding_window_view(chunk.frames, STACK, axis=0)
    observations = np.moveaxis(windows, -1, 1).copy()
    age = ages(chunk)
    for step in np.flatnonzero(age < PREFIX):
        observations[step, : PREFIX - age[step]] = 0
    return observations
