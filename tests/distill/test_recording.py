"""Recordings: begun, gone on with, verified, merged and read; nothing damaged is read, and nothing else is touched."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.chunks import Chunk, ChunkDecoder
from distill.errors import ConfigError, RunError
from distill.protocols import StoredChunk
from distill.recorded_chunks import RecordingReader, RecordingWriter
from distill.recording import Recording
from distill.recording_changes import begin, begin_sitting, merge, reading, writing
from distill.recording_manifest import read_manifest
from distill.sealed_json import read_sealed, seal, write_sealed
from distill.segments import SegmentWriter
from distill.teachers import Teacher
from tests.support.chunk_examples import example_chunk
from tests.support.recordings import record_series, settings_of, small_teacher


def chunks(first: int, count: int) -> list[Chunk]:
    return [example_chunk(steps=8, seed=seed) for seed in range(first, first + count)]


@pytest.fixture
def teachers(tmp_path: Path) -> dict[str, Teacher]:
    return {"pong": small_teacher(tmp_path / "teacher.safetensors")}


@pytest.fixture
def recording(tmp_path: Path, teachers: dict[str, Teacher]) -> Recording:
    return record_series(tmp_path / "data", teachers, [chunks(0, 7), chunks(20, 3)])


def read_all(recording: Recording, most: int = 4) -> list[StoredChunk]:
    reader = RecordingReader(recording, recording.games)
    found: list[StoredChunk] = []
    while not reader.ended():
        for game in recording.games:
            found += reader.read(game, most)
    reader.close()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_settings_and_chunks_give_the_same_files(tmp_path: Path, teachers: dict[str, Teacher]):
    for name in ("one", "other"):
        record_series(tmp_path / name, teachers, [chunks(0, 5), chunks(9, 2)])
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    record_series(tmp_path / "seed", teachers, [chunks(0, 5), chunks(9, 2)], seed=2)
    assert (
        read_manifest(tmp_path / "seed").sources[0].settings.id
        != read_manifest(tmp_path / "one").sources[0].settings.id
    )


@pytest.mark.parametrize("most", [1, 3, 100])
def test_actors_take_turns_and_every_chunk_comes_once(recording: Recording, most: int):
    found = read_all(recording, most)
    assert [chunk.sequence for chunk in found] == [0, 20, 1, 21, 2, 22, 3, 4, 5, 6]
    assert [chunk.end for chunk in found] == [8 * (n + 1) for n in range(10)]
    decoded = [ChunkDecoder({"pong": 6}).decode(chunk.data) for chunk in found]
    assert all(
        (c.header.producer_id, c.header.sequence) == (s.producer_id, s.sequence)
        for c, s in zip(decoded, found, strict=True)
    )
    assert recording.transitions("pong") == 80 and recording.damages(recording.games) == []


def test_a_rewound_reader_begins_anew(recording: Recording):
    reader = RecordingReader(recording, ["pong"])
    first = reader.read("pong", 100)
    assert reader.ended() and reader.read("pong", 1) == []
    reader.rewind()
    assert not reader.ended() and reader.read("pong", 100) == first
    with pytest.raises(ConfigError, match="breakout"):
        reader.read("breakout", 1)


def test_a_writer_stops_at_its_last_chunk_and_counts_the_others(tmp_path: Path):
    segments = SegmentWriter(tmp_path, "s")
    writer = RecordingWriter(segments, 3)
    for chunk in chunks(0, 5):
        assert writer.wait(0.0)
        writer.write(chunk)
    assert (writer.full, writer.surplus, writer.counters.chunks, writer.counters.transitions) == (True, 2, 3, 24)
    assert writer.flush(0.0) == 0 and segments.transitions == 24
    writer.close()


def test_a_recording_goes_on_with_the_same_settings_alone(tmp_path: Path, teachers: dict[str, Teacher]):
    folder = tmp_path / "data"
    record_series(folder, teachers, [chunks(0, 3)])
    longer = record_series(folder, teachers, [chunks(3, 2)])
    assert [chunk.sequence for chunk in read_all(longer)] == [0, 1, 2, 3, 4]
    assert longer.manifest.sources[0].sittings == 2
    before = contents(folder)
    with pytest.raises(ConfigError, match=r"seed is 1, found 2.*go on with them, or record into another folder"):
        record_series(folder, teachers, [chunks(0, 1)], seed=2)
    with pytest.raises(ConfigError, match="actors is 1, found 2"):
        record_series(folder, teachers, [chunks(0, 1), chunks(0, 1)])
    small_teacher(tmp_path / "other.safetensors")
    teachers = {"pong": teachers["pong"], "breakout": small_teacher(tmp_path / "breakout.safetensors", "breakout")}
    with pytest.raises(ConfigError, match="teachers is"):
        begin(folder, settings_of(teachers), teachers, "test")
    assert contents(folder) == before


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_recording_is_left_alone(tmp_path: Path, teachers: dict[str, Teacher], make: Callable[[Path], None]):
    make(tmp_path / "data")
    with pytest.raises(RunError, match=r"expected a recording, with manifest.json in it"):
        begin(tmp_path / "data", settings_of(teachers), teachers, "test")
    with pytest.raises(RunError, match="expected a recording"):
        Recording.open(tmp_path / "data")


def test_a_recording_that_cannot_be_made_leaves_nothing(tmp_path: Path, teachers: dict[str, Teacher]):
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="file/data: cannot be made: Not a directory"):
        begin(tmp_path / "file" / "data", settings_of(teachers), teachers, "test")
    assert sorted(tmp_path.rglob("*")) == before


def test_one_writes_and_nobody_else(tmp_path: Path, recording: Recording):
    with writing(recording.path), pytest.raises(RunError, match="another process is using it"), writing(recording.path):
        pass
    with writing(recording.path), pytest.raises(RunError, match="it is being recorded"), reading(recording.path):
        pass
    with reading(recording.path), reading(recording.path):
        pass


def test_what_a_crash_left_is_closed_or_removed_when_the_recording_goes_on(
    tmp_path: Path, teachers: dict[str, Teacher]
):
    folder = tmp_path / "data"
    recording = record_series(folder, teachers, [chunks(0, 2)], segment_bytes=10**6)
    (segment,) = recording.segments("pong")
    # Killed while the next segment and a manifest were being written.
    torn = segment.path.with_name(segment.path.name.replace("00000", "00001"))
    torn.write_bytes(segment.path.read_bytes()[:-5])
    for place in (folder, folder / "pong"):
        (place / ".distill-0123.tmp").write_bytes(b"half")
    opened = Recording.open(folder)
    assert len(read_all(opened)) == 3 and [str(torn) in remark for remark in opened.remarks()] == [True]
    with writing(folder):
        sitting, found = begin_sitting(folder)
    assert sitting == 1 and len(read_all(found)) == 3
    assert Recording.open(folder).remarks() == []
    assert not list(folder.rglob(".distill-*"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of which every example of a property gets a copy."""
    folder = tmp_path_factory.mktemp("sound")
    teacher = {"pong": small_teacher(folder / "teacher.safetensors")}
    return record_series(folder / "data", teacher, [chunks(0, 4), chunks(9, 2)]).path


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_no_flip_cut_or_loss_of_any_file_passes(sound: Path, data: st.DataObject):
    with TemporaryDirectory() as name:
        folder = Path(name) / "data"
        shutil.copytree(sound, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        path = data.draw(st.sampled_from(files))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "lose"])):
            case "flip":
                content[at] ^= data.draw(st.integers(1, 255))
                path.write_bytes(content)
            case "cut":
                path.write_bytes(content[:at])
            case _:
                path.unlink()
        try:
            found = Recording.open(folder)
            told = found.damages(found.games) + found.remarks()
        except RunError as error:
            told = [str(error)]
        assert any(path.stem in text for text in told), f"{path.name} is named in {told}"


def test_a_segment_that_changes_after_its_check_is_not_read_as_if_nothing_were(recording: Recording):
    os.truncate(recording.segments("pong")[-1].path, 10)
    with pytest.raises(RunError, match="expected a chunk of"):
        read_all(recording)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"format": 2}, "expected format 1, found 2"),
        ({"preprocessing": {"frame_skip": 2}}, "expected the preprocessing"),
        ({"sources": []}, "expected the teachers of"),
        ({"sources": [{"seed": 1}]}, "sources.0.settings"),
        ({"cards": {"../../etc": {}}}, "etc"),
        ({"more": 1}, "more"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(recording: Recording, change: dict[str, object], expected: str):
    file = recording.path / "manifest.json"
    write_sealed(file, read_sealed(file) | change)
    with pytest.raises(RunError, match=expected):
        Recording.open(recording.path)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"null", seal({"a": 1}).replace(b"1", b"2"), b'{"content": 1}'])
def test_what_was_not_sealed_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(RunError, match="file: damaged: expected JSON with the checksum"):
        read_sealed(tmp_path / "file")


def test_merged_recordings_are_one_with_all_their_chunks(tmp_path: Path, teachers: dict[str, Teacher]):
    both = teachers | {"breakout": small_teacher(tmp_path / "breakout.safetensors", "breakout")}
    parts = [
        record_series(tmp_path / "a", teachers, [chunks(0, 3)]),
        record_series(tmp_path / "b", teachers, [chunks(3, 2), chunks(5, 1)], seed=2),
        record_series(tmp_path / "c", {"breakout": both["breakout"]}, [chunks(30, 1)], seed=3),
    ]
    merged = merge([part.path for part in parts], tmp_path / "new" / "all")
    assert merged.games == ("breakout", "pong") and merged.damages(merged.games) == []
    assert sorted(chunk.data for chunk in read_all(merged)) == sorted(c.data for part in parts for c in read_all(part))
    assert [chunk.sequence for chunk in read_all(merged) if chunk.game == "pong"] == [0, 3, 5, 1, 4, 2]
    with pytest.raises(ConfigError, match="it was merged of 3 recordings and cannot go on"):
        record_series(merged.path, teachers, [chunks(0, 1)])
    with pytest.raises(RunError, match="it exists"):
        merge([parts[0].path, parts[1].path], merged.path)
    again = merge(
        [merged.path, record_series(tmp_path / "d", teachers, [chunks(8, 1)], seed=4).path], tmp_path / "more"
    )
    assert again.transitions("pong") == 7 * 8


def test_recordings_that_do_not_fit_are_not_merged(tmp_path: Path, teachers: dict[str, Teacher]):
    first = record_series(tmp_path / "a", teachers, [chunks(0, 3)])
    record_series(tmp_path / "same", teachers, [chunks(0, 3)])
    with pytest.raises(ConfigError, match="were recorded with the same settings and seed"):
        merge([first.path, tmp_path / "same"], tmp_path / "out")
    data = bytearray(teachers["pong"].data)
    data[-1] ^= 1
    record_series(tmp_path / "b", {"pong": replace(teachers["pong"], data=bytes(data))}, [chunks(0, 1)])
    with pytest.raises(ConfigError, match="have different teachers of pong"):
        merge([first.path, tmp_path / "b"], tmp_path / "out")
    damaged = record_series(tmp_path / "c", teachers, [chunks(0, 1)], seed=5).segments("pong")[0].path
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    with pytest.raises(RunError, match=r"nothing is merged: .*-00000.chunks: damaged"):
        merge([first.path, tmp_path / "c"], tmp_path / "out")
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]
