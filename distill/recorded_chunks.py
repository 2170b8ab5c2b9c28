"""How chunks get into a recording and out of it: the files' own sides of `ChunkWriter` and `ChunkReader`."""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from itertools import islice

from distill.chunks import Chunk, ChunkEncoder
from distill.errors import ConfigError, RunError
from distill.machine_errors import refusal
from distill.protocols import StoredChunk, WriterCounters
from distill.recording import Recording, Series
from distill.segments import Entry, SegmentWriter


class RecordingWriter:
    """Implements `distill.protocols.ChunkWriter` over a series of segments, up to a number of chunks.

    Args:
        segments: where chunks go.
        most: chunks that the series is to have; what is written beyond them is counted and dropped, so that what is
            recorded does not depend on when the playing ends.
    """

    def __init__(self, segments: SegmentWriter, most: int) -> None:
        self._segments = segments
        self._most = most
        self._encoder = ChunkEncoder()
        self._counters = WriterCounters()
        self.surplus = 0
        """Chunks that were dropped."""

    @property
    def counters(self) -> WriterCounters:
        """What was done so far."""
        return self._counters

    @property
    def full(self) -> bool:
        """Whether the series has all its chunks."""
        return self._segments.chunks >= self._most

    def write(self, chunk: Chunk) -> None:
        """Append a chunk.

        Raises:
            ChunkError: if it is not valid.
            RunError: if the disk refuses.
        """
        if self.full:
            self.surplus += 1
            return
        data = self._encoder.encode(chunk)
        self._segments.append(chunk, data)
        self._counters.chunks += 1
        self._counters.transitions += chunk.header.steps
        self._counters.bytes += len(data)

    def wait(self, timeout: float) -> bool:
        """Return at once: there is always room."""
        del timeout
        return True

    def flush(self, timeout: float) -> int:
        """Return 0: nothing is held back."""
        del timeout
        return 0

    def close(self) -> None:
        """Close the segment that is open. Raises RunError if the disk refuses."""
        self._segments.close()


class RecordingReader:
    """Implements `distill.protocols.ChunkReader` over a recording; belongs to one thread.

    The order of a game's chunks depends on the recording alone: its series take turns, a chunk each.

    Args:
        recording: what is read.
        games: of it.
    """

    def __init__(self, recording: Recording, games: Sequence[str]) -> None:
        self._recording = recording
        self._games = games
        self._chunks: dict[str, Generator[StoredChunk]] = {}
        self._ended: set[str] = set()
        self.rewind()

    def read(self, game: str, max_chunks: int) -> list[StoredChunk]:
        """Return the next chunks of a game, none once all were read.

        Raises:
            RunError: if a segment is not as its index says.
            ConfigError: if the reader was not made for this game.
        """
        chunks = self._chunks.get(game)
        if chunks is None:
            raise ConfigError(f"game {game!r}: this reader of {self._recording.path} has {sorted(self._chunks)}")
        found = list(islice(chunks, max_chunks))
        if len(found) < max_chunks:
            self._ended.add(game)
        return found

    def ended(self) -> bool:
        """Return whether all chunks of all games were read."""
        return len(self._ended) == len(self._games)

    def commit(self) -> None:
        """Do nothing: a recording keeps everything."""

    def rewind(self) -> None:
        """Read again from the first chunk."""
        self.close()
        self._chunks = {game: _in_turn(game, self._recording.series[game]) for game in self._games}
        self._ended = set()

    def close(self) -> None:
        """Close the files."""
        for chunks in self._chunks.values():
            chunks.close()


def _in_turn(game: str, series: Sequence[Series]) -> Generator[StoredChunk]:
    """Yield the chunks of several series, one of each in turn."""
    with ExitStack() as stack:
        left = deque(stack.enter_context(closing(_chunks_of(one))) for one in series)
        end = 0
        while left:
            found = next(left[0], None)
            if found is None:
                left.popleft()
                continue
            entry, data = found
            end += entry.steps
            yield StoredChunk(game, end, entry.steps, entry.producer_id, entry.sequence, data)
            left.rotate(-1)


def _chunks_of(series: Series) -> Generator[tuple[Entry, bytes]]:
    for segment in series.segments:
        try:
            file = segment.path.open("rb")
        except OSError as error:
            raise RunError(f"{segment.path}: cannot be read: {refusal(error)}") from error
        with file:
            for entry in segment.chunks:
                yield entry, segment.read(file, entry)
