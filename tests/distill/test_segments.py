"""Segment files: what was written comes back, a crash costs the chunk that was being written, and no flip passes."""

import multiprocessing
import random
import resource
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import ChunkEncoder
from distill.errors import RunError
from distill.segments import Segment, SegmentWriter, read_series, recover, segment_path
from tests.support.chunk_examples import example_chunk
from tests.support.recordings import write_all
from tests.support.sandbox import until

FORK = multiprocessing.get_context("fork")
"""Starting Python anew would take seconds a writer."""
CHUNKS = [example_chunk(steps=8, seed=seed) for seed in range(12)]
ENCODED = [ChunkEncoder().encode(chunk) for chunk in CHUNKS]
SIZE = 4 + len(ENCODED[0])


def data_of(segments: list[Segment]) -> list[bytes]:
    """Return the encoded chunks of segments, as a reader would."""
    found: list[bytes] = []
    for segment in segments:
        with segment.path.open("rb") as file:
            found += [segment.read(file, entry) for entry in segment.chunks]
    return found


def unfinished(folder: Path, count: int) -> Path:
    """Leave a segment without an index, as a killed writer does, and return it."""
    writer = SegmentWriter(folder, "s")
    for chunk, data in zip(CHUNKS[:count], ENCODED, strict=False):
        writer.append(chunk, data)
    # What was appended is with the operating system; the writer's end without `close` is all that a kill adds.
    del writer
    return segment_path(folder, "s", 0)


@given(st.lists(st.integers(0, 11), max_size=8), st.integers(1, 4 * SIZE), st.integers(0, 8))
@settings(max_examples=50, deadline=None)
def test_what_was_written_comes_back_in_order(numbers: list[int], segment_bytes: int, break_at: int):
    """Whatever the size of a segment, and wherever one writer ends and the next goes on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part in (numbers[:break_at], numbers[break_at:]):
            write_all(SegmentWriter(folder, "s", segment_bytes), [CHUNKS[number] for number in part])
        segments = read_series(folder, "s")
        assert data_of(segments) == [ENCODED[number] for number in numbers]
        for segment in segments:
            segment.verify()
            assert segment.checksum is not None and segment.size < segment_bytes + 2 * SIZE
        steps = [entry.steps for segment in segments for entry in segment.chunks]
        assert steps == [8] * len(numbers)


def test_series_of_one_folder_keep_apart(tmp_path: Path):
    for series, chunk in (("a-1", 0), ("a-11", 1), ("a", 2)):
        write_all(SegmentWriter(tmp_path, series), [CHUNKS[chunk]])
    for series, chunk in (("a-1", 0), ("a-11", 1), ("a", 2)):
        assert data_of(read_series(tmp_path, series)) == [ENCODED[chunk]]


def test_an_index_tells_what_a_chunk_is(tmp_path: Path):
    chunk = example_chunk(steps=16, seed=5, ends=0.5)
    write_all(SegmentWriter(tmp_path, "s"), [chunk])
    (entry,) = read_series(tmp_path, "s")[0].chunks
    ended = int((chunk.terminated | chunk.truncated).sum())
    assert (entry.steps, entry.episodes, entry.producer_id, entry.sequence) == (16, ended, chunk.header.producer_id, 5)
    assert ended > 1


@given(st.integers(0, 6), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_killed_writers_segment_is_cut_behind_its_last_whole_chunk(count: int, share: float):
    """Wherever the writing was cut off: what is left out is told, and the series goes on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = unfinished(folder, count)
        if not count:
            path.touch()
        size = int(share * path.stat().st_size)
        with path.open("r+b") as file:
            file.truncate(size)
        ends = [sum(4 + len(data) for data in ENCODED[: n + 1]) for n in range(count)]
        whole = sum(end <= size for end in ends)
        (seen,) = read_series(folder, "s")
        assert data_of([seen]) == ENCODED[:whole]
        assert (seen.remark is None) == (size in (0, *ends[:whole][-1:])), "whatever is left out is told"
        if seen.remark:
            assert str(path) in seen.remark and f"last {size - seen.size} bytes" in seen.remark
        assert path.stat().st_size == size, "a reader changes nothing"

        assert data_of(recover(folder, "s")) == ENCODED[:whole]
        write_all(SegmentWriter(folder, "s"), CHUNKS[6:8])
        segments = read_series(folder, "s")
        assert data_of(segments) == [*ENCODED[:whole], *ENCODED[6:8]]
        for segment in segments:
            segment.verify()


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_no_flip_and_no_cut_of_a_closed_segment_passes(data: st.DataObject):
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_all(SegmentWriter(folder, "s", 3 * SIZE), CHUNKS[:7])
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            del content[at:]
        path.write_bytes(content)
        with pytest.raises(RunError) as caught:
            for segment in read_series(folder, "s"):
                segment.verify()
        assert str(path) in str(caught.value), "the damaged file is named"


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_flip_in_an_unfinished_segment_ends_it_there(data: st.DataObject):
    with TemporaryDirectory() as name:
        path = unfinished(Path(name), 5)
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        (segment,) = read_series(path.parent, "s")
        kept = data_of([segment])
        assert kept == ENCODED[: len(kept)] and segment.size <= at
        assert segment.remark is not None and str(path) in segment.remark


@pytest.mark.parametrize("missing", ["s-00000.chunks", "s-00000.index", "s-00001.chunks"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str):
    write_all(SegmentWriter(tmp_path, "s", SIZE), CHUNKS[:3])
    (tmp_path / missing).unlink()
    with pytest.raises(RunError, match=missing):
        read_series(tmp_path, "s")


def test_two_writers_of_a_series_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("distill.segments.CLAIM_SECONDS", 0.05)
    first = SegmentWriter(tmp_path, "s")
    first.append(CHUNKS[0], ENCODED[0])
    with pytest.raises(RunError, match="another process is writing it"):
        SegmentWriter(tmp_path, "s")
    first.close()
    assert SegmentWriter(tmp_path, "s").chunks == 1


def write_on(folder: Path, told: "Synchronized[int]") -> None:
    """Append to the series for ever, and tell after each chunk how many there are."""
    writer = SegmentWriter(folder, "s", 2 * SIZE)
    while True:
        number = writer.chunks % len(CHUNKS)
        writer.append(CHUNKS[number], ENCODED[number])
        told.value = writer.chunks


def test_a_series_goes_on_after_kills(tmp_path: Path):
    """SIGKILL at any moment, among them those between a segment, its index and the next segment."""
    random.seed(3)
    told = FORK.Value("q", 0)
    for _ in range(15):
        before = told.value
        writer = FORK.Process(target=write_on, args=(tmp_path, told))
        writer.start()
        until(lambda before=before: told.value > before + 2, "the writer writes")
        time.sleep(random.uniform(0, 0.02))
        writer.kill()
        writer.join(10)
        kept = data_of(read_series(tmp_path, "s"))
        assert len(kept) >= told.value, "what was appended outlives its process"
        told.value = len(kept)
    segments = recover(tmp_path, "s")
    for segment in segments:
        segment.verify()
    assert data_of(segments) == [ENCODED[number % len(ENCODED)] for number in range(told.value)]


def fill_the_disk(folder: Path, answers: "Connection[str, str]") -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * SIZE + 100, 2 * SIZE + 100))
    writer = SegmentWriter(folder, "s")
    try:
        for chunk, data in zip(CHUNKS, ENCODED, strict=True):
            writer.append(chunk, data)
    except RunError as error:
        answers.send(str(error))


def test_a_disk_that_refuses_leaves_whole_chunks(tmp_path: Path):
    here, there = FORK.Pipe()
    writer = FORK.Process(target=fill_the_disk, args=(tmp_path, there))
    writer.start()
    assert here.poll(30) and "s-00000.chunks: cannot be written: File too large" in here.recv()
    writer.join(30)
    assert 1 <= len(data_of(recover(tmp_path, "s"))) <= 2
