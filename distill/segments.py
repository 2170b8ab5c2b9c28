"""Segment files: encoded chunks back to back, each behind its length, and an index beside each file that is closed.

A series is what one actor has recorded, in order: `NAME-00000.chunks`, `NAME-00001.chunks` and so on, each with an
index such as `NAME-00000.index`. Only the last segment may lack it: its writer is at work, or was killed. What a killed
writer leaves is scanned, and cut behind its last whole chunk when the recording goes on.
"""

import fcntl
import hashlib
import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from distill.chunks import MAX_ENCODED_BYTES, Chunk, ChunkDecoder
from distill.errors import ChunkError, RunError
from distill.machine_errors import refusal
from distill.sealed_json import read_sealed, write_sealed

SEGMENT_BYTES = 64 * 2**20
"""Size beyond which a segment is closed and the next one begins."""
CLAIM_SECONDS = 2.0
"""How long the end of another writer is waited for."""
_LENGTH = struct.Struct(">I")
_CHECKSUM_BYTES = 16
_READ_BYTES = 2**20
_NUMBERED = re.compile(r"-(\d{5,9})\.(?:chunks|index)")


class Entry(NamedTuple):
    """Where a chunk lies in its segment, and what it is.

    Attributes:
        offset: of its first byte.
        length: bytes of the encoded chunk.
        steps: T.
        episodes: that end in it.
        producer_id: id of the process that has played it.
        sequence: its number among those of that process.
    """

    offset: int
    length: int
    steps: int
    episodes: int
    producer_id: str
    sequence: int

    @classmethod
    def of(cls, chunk: Chunk, offset: int, length: int) -> "Entry":
        """Return the entry of a chunk that lies there."""
        header = chunk.header
        episodes = int((chunk.terminated | chunk.truncated).sum())
        return cls(offset, length, header.steps, episodes, header.producer_id, header.sequence)


class _Index(BaseModel):
    """What stands in an index file.

    Attributes:
        size: of the segment in bytes.
        checksum: blake2b of the segment.
        chunks: in the order in which they lie there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    checksum: str
    chunks: list[Entry]


@dataclass(frozen=True)
class Segment:
    """A segment file as its index, or a scan, describes it.

    Attributes:
        path: the file.
        chunks: what it holds.
        size: bytes of the file that they take.
        checksum: of these bytes; None for a segment without an index, whose chunks were each checked by the scan.
        remark: what a scan has left out, None if nothing.
    """

    path: Path
    chunks: Sequence[Entry]
    size: int
    checksum: str | None
    remark: str | None = None

    def verify(self) -> None:
        """Compare the file with its index, byte for byte.

        Raises:
            RunError: if they differ.
        """
        if self.checksum is None:
            return
        try:
            with self.path.open("rb") as file:
                found_size = os.fstat(file.fileno()).st_size
                found = _checksum(file)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read: {refusal(error)}") from error
        if found_size != self.size:
            raise _damaged(self.path, f"expected {self.size} bytes, found {found_size}")
        if found != self.checksum:
            raise _damaged(self.path, f"expected the checksum {self.checksum}, found {found}")

    def read(self, file: BinaryIO, entry: Entry) -> bytes:
        """Return an encoded chunk of this segment, which is open in `file`. Raises RunError if it is not there."""
        try:
            file.seek(entry.offset)
            data = file.read(entry.length)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read: {refusal(error)}") from error
        if len(data) != entry.length:
            raise _damaged(self.path, f"expected a chunk of {entry.length} bytes at byte {entry.offset}")
        return data


class SegmentWriter:
    """Appends chunks to a series; belongs to one process.

    A new writer goes on behind what the one before has left: see `recover`.

    Args:
        folder: of the series.
        series: its name.
        segment_bytes: size beyond which a segment is closed.

    Raises:
        RunError: if the series is damaged, or another process writes it.
    """

    def __init__(self, folder: Path, series: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._series = folder, series
        self._segment_bytes = segment_bytes
        segments = recover(folder, series)
        self._number = len(segments)
        self._file: BinaryIO | None = None
        self._size = 0
        self._entries: list[Entry] = []
        self.chunks = sum(len(segment.chunks) for segment in segments)
        """Chunks of the whole series."""
        self.transitions = sum(entry.steps for segment in segments for entry in segment.chunks)
        """Their steps."""

    def append(self, chunk: Chunk, data: bytes) -> None:
        """Append a chunk, which outlives this process from now on.

        Args:
            chunk: what it is.
            data: the same, encoded.

        Raises:
            RunError: if the disk refuses.
        """
        if self._file is None:
            self._file = self._next_file()
        entry = Entry.of(chunk, self._size + _LENGTH.size, len(data))
        left = memoryview(_LENGTH.pack(len(data)) + data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise RunError(f"{self._path}: cannot be written: {refusal(error)}") from error
        self._size = entry.offset + entry.length
        self._entries.append(entry)
        self.chunks += 1
        self.transitions += entry.steps
        if self._size >= self._segment_bytes:
            self.close()

    def close(self) -> None:
        """Close the segment that is open, if one is. Raises RunError if the disk refuses."""
        if self._file is None:
            return
        with self._file:
            _close(self._path, self._file, self._size, self._entries)
        self._file = None
        self._number += 1
        self._size, self._entries = 0, []

    @property
    def _path(self) -> Path:
        return segment_path(self._folder, self._series, self._number)

    def _next_file(self) -> BinaryIO:
        try:
            file = self._path.open("x+b", buffering=0)
        except OSError as error:
            raise RunError(f"{self._path}: cannot be made: {refusal(error)}") from error
        _claim(self._path, file)
        return file


def segment_path(folder: Path, series: str, number: int) -> Path:
    """Return the path of a segment."""
    return folder / f"{series}-{number:05}.chunks"


def index_path(segment: Path) -> Path:
    """Return the path of a segment's index."""
    return segment.with_suffix(".index")


def read_series(folder: Path, series: str) -> list[Segment]:
    """Return the segments of a series as they are; nothing is written.

    Raises:
        RunError: if one is missing or its index is damaged.
    """
    return [_described(path, last=last) for path, last in _paths(folder, series)]


def recover(folder: Path, series: str) -> list[Segment]:
    """Close what a killed writer has left of a series, cut behind its last whole chunk, and return the segments.

    Raises:
        RunError: if a segment is missing or its index is damaged, another process writes, or the disk refuses.
    """
    for path, last in _paths(folder, series):
        if last and path.exists() and not index_path(path).exists():
            try:
                with path.open("r+b", buffering=0) as file:
                    _claim(path, file)
                    found = _scan(path)
                    _close(path, file, found.size, found.chunks)
            except OSError as error:
                raise RunError(f"{path}: cannot be written: {refusal(error)}") from error
    return read_series(folder, series)


def _paths(folder: Path, series: str) -> Iterator[tuple[Path, bool]]:
    """Yield the paths of a series' segments, of which there are all up to the last, and whether it is that one."""
    found = (_NUMBERED.fullmatch(path.name.removeprefix(series)) for path in folder.glob(f"{series}-*"))
    count = max((int(match[1]) for match in found if match), default=-1) + 1
    for number in range(count):
        yield segment_path(folder, series, number), number == count - 1


def _described(path: Path, *, last: bool) -> Segment:
    if last and path.exists() and not index_path(path).exists():
        return _scan(path)
    if not path.exists():
        raise RunError(f"{path}: missing: expected a segment, found none; restore it from a copy")
    content: Any = read_sealed(index_path(path))
    try:
        index = _Index.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{index_path(path)}: expected the index of a segment: {error.errors()[0]['msg']}") from error
    end = 0
    for entry in index.chunks:
        if entry.offset != end + _LENGTH.size or not 0 < entry.length <= MAX_ENCODED_BYTES:
            raise RunError(f"{index_path(path)}: expected chunks back to back, found {entry}")
        end = entry.offset + entry.length
    if end != index.size:
        raise RunError(f"{index_path(path)}: expected {index.size} bytes of chunks, found {end}")
    return Segment(path, index.chunks, index.size, index.checksum)


def _scan(path: Path) -> Segment:
    """Return the whole and valid chunks with which a segment without an index begins."""
    decoder = ChunkDecoder()
    entries: list[Entry] = []
    end, size, remark = 0, 0, None
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while end < size:
                head = file.read(_LENGTH.size)
                length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
                data = file.read(length) if length <= MAX_ENCODED_BYTES else b""
                entries.append(Entry.of(decoder.decode(data), end + _LENGTH.size, length))
                end = entries[-1].offset + length
    except ChunkError as error:
        remark = f"{path}: its last {size - end} bytes are no whole chunk and are left out: {error}"
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {refusal(error)}") from error
    return Segment(path, entries, end, None, remark)


def _close(path: Path, file: BinaryIO, size: int, entries: Sequence[Entry]) -> None:
    """Bring a segment's first `size` bytes to the disk, cut off the rest, and write its index."""
    try:
        file.truncate(size)
        if not entries:
            path.unlink()
            return
        os.fsync(file.fileno())
        file.seek(0)
        checksum = _checksum(file)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {refusal(error)}") from error
    write_sealed(index_path(path), {"size": size, "checksum": checksum, "chunks": entries})


def _claim(path: Path, file: BinaryIO) -> None:
    """Hold a segment as its only writer; one that was killed a moment ago may still be ending."""
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise RunError(f"{path}: another process is writing it; stop that one first") from error
        time.sleep(CLAIM_SECONDS / 50)


def _checksum(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _damaged(path: Path, found: str) -> RunError:
    return RunError(f"{path}: damaged: {found}; restore it from a copy, or record it again")
