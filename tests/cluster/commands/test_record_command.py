"""`distill record` and `distill data`: the same files from the same settings, whoever records and whatever dies."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import cli
from distill.chunks import Chunk, ChunkDecoder
from distill.recorded_chunks import RecordingReader
from distill.recording import Recording
from tests.support.sandbox import TEACHERS, Sandbox, new_sandbox

Capture = pytest.CaptureFixture[str]
TINY = ("--teachers", str(TEACHERS), "--lanes", "4", "--chunk-steps", "16")
BREAKOUT = (*TINY, "--games", "breakout", "--transitions", "800", "--actors", "2", "--serial")
STUDENT = Path(__file__).parents[2] / "golden" / "0.1.0" / "run" / "student.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that tests only read."""
    path = tmp_path_factory.mktemp("recorded") / "data"
    assert cli.run(["record", str(path), *BREAKOUT]) == 0
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def chunks_of(folder: Path, game: str) -> list[Chunk]:
    recording = Recording.open(folder)
    assert recording.damages(recording.games) == [] and recording.remarks() == []
    reader = RecordingReader(recording, recording.games)
    found = [ChunkDecoder().decode(stored.data) for stored in reader.read(game, 10_000)]
    reader.close()
    return found


def test_the_same_settings_give_the_same_files_and_another_seed_others(folder: Path, tmp_path: Path):
    for name, seed in (("same", "1"), ("other", "2")):
        assert cli.run(["record", str(tmp_path / name), *BREAKOUT, "--seed", seed]) == 0
    assert contents(tmp_path / "same") == contents(folder)
    one, other = chunks_of(folder, "breakout"), chunks_of(tmp_path / "other", "breakout")
    assert [chunk.frames.tobytes() for chunk in one] != [chunk.frames.tobytes() for chunk in other]


def test_a_recording_has_whole_chunks_of_every_actor(folder: Path):
    found = chunks_of(folder, "breakout")
    assert len(found) == 50 and all(chunk.header.steps == 16 for chunk in found)
    assert {chunk.header.producer for chunk in found} == {"breakout-0", "breakout-1"}
    played = {f"breakout-{n}": [c.taken.tobytes() for c in found if c.header.producer[-1] == str(n)] for n in (0, 1)}
    assert played["breakout-0"] != played["breakout-1"], "actors play episodes of their own"
    assert {chunk.header.driver_version for chunk in found} == {0}


def test_it_goes_on_where_it_ended_and_plays_other_episodes(folder: Path, tmp_path: Path, capsys: Capture):
    path = tmp_path / "data"
    for transitions in ("400", "800"):
        assert cli.run(["record", str(path), *BREAKOUT, "--transitions", transitions]) == 0
    found = chunks_of(path, "breakout")
    processes = {chunk.header.producer_id: [] for chunk in found}
    for chunk in found:
        processes[chunk.header.producer_id].append(chunk.taken.tobytes())
    assert [len(played) for played in processes.values()] == [13, 13, 12, 12]
    assert len({tuple(played[:12]) for played in processes.values()}) == 4, "no episodes come twice"
    # The first sitting is that of a recording that was never interrupted.
    assert [c.frames.tobytes() for c in found[:24]] == [c.frames.tobytes() for c in chunks_of(folder, "breakout")[:24]]
    before = contents(path)
    assert cli.run(["record", str(path), *BREAKOUT, "--transitions", "100"]) == 0
    assert {name for name, data in contents(path).items() if data != before[name]} <= {"manifest.json"}
    assert "800" in capsys.readouterr().out


def test_a_student_drives_while_the_teacher_labels(tmp_path: Path, folder: Path):
    short = ("--actors", "1", "--transitions", "400", "--student", str(STUDENT))
    played = {"teacher": [chunk.taken.tobytes() for chunk in chunks_of(folder, "breakout")[::2]]}
    for name, driver in (("student", "student"), ("again", "student"), ("mixture", "mixture")):
        assert cli.run(["record", str(tmp_path / name), *BREAKOUT, *short, "--driver", driver]) == 0
        found = chunks_of(tmp_path / name, "breakout")
        assert {chunk.header.driver_version for chunk in found} == {1}
        played[name] = [chunk.taken.tobytes() for chunk in found]
    assert contents(tmp_path / "student") == contents(tmp_path / "again")
    assert len({tuple(played[name]) for name in ("teacher", "student", "mixture")}) == 3


@pytest.mark.parametrize(
    "options, expected",
    [
        (("--games", "enduro"), "games: no teacher for enduro"),
        (("--driver", "student"), "student: the driver student needs --student, found none"),
        (("--student", str(STUDENT)), "student: the driver teacher takes no --student"),
        (("--driver", "student", "--student", "nowhere"), "nowhere"),
        (("--driver", "student", "--student", str(TEACHERS / "pong.safetensors")), "plays pong, not breakout"),
        (("--transitions", "0"), "transitions"),
        (("--epsilon", "2"), "epsilon"),
        (("FOLDER/data",), "seed is 1, found 3"),
        (("/dev/null",), "expected a recording"),
        (("/proc/x",), "/proc/x: cannot be made"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_recorded_is_refused_in_a_line(
    folder: Path, tmp_path: Path, capsys: Capture, options: tuple[str, ...], expected: str
):
    before = contents(folder)
    path = options[0].replace("FOLDER", str(folder.parent)) if "/" in options[0] else str(tmp_path / "new")
    more = options if "/" not in options[0] else ("--seed", "3")
    assert cli.run(["record", path, *BREAKOUT, *more]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.count("\n") == 1 and "Traceback" not in message
    assert not (tmp_path / "new").exists() and contents(folder) == before


def test_data_lists_verifies_and_merges(folder: Path, tmp_path: Path, capsys: Capture):
    other = tmp_path / "pong"
    assert cli.run(["record", str(other), *BREAKOUT, "--games", "pong", "--transitions", "160"]) == 0
    capsys.readouterr()
    assert cli.run(["data", str(folder), "--verify"]) == 0
    listed = capsys.readouterr().out
    assert "breakout" in listed and "800" in listed and "every file is as it was written" in listed
    assert cli.run(["data", str(folder), "--merge", str(other), "--out", str(tmp_path / "both")]) == 0
    assert "160" in capsys.readouterr().out
    assert len(chunks_of(tmp_path / "both", "breakout")) == 50 and len(chunks_of(tmp_path / "both", "pong")) == 10

    segment = next((tmp_path / "both" / "pong").glob("*.chunks"))
    segment.write_bytes(segment.read_bytes()[:-1])
    assert cli.run(["data", str(tmp_path / "both"), "--verify"]) == 2
    message = capsys.readouterr().err
    assert f"1 files are damaged: {segment}: damaged" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "options, expected",
    [
        (("--merge", "x"), "--merge and --out"),
        (("--out", "x"), "--merge and --out"),
        (("--merge", "nowhere", "--out", "x"), "nowhere: expected a recording"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_merged_is_refused_in_a_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    options: tuple[str, ...],
    expected: str,
):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["data", str(folder), *options]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as made:
        yield made


@pytest.mark.timeout(300)
def test_on_ray_it_is_the_same_and_it_goes_on_after_a_kill(sandbox: Sandbox, folder: Path):
    """Processes of their own record what one process does; all of them killed, another one goes on."""
    arguments = ("record", "data", *BREAKOUT, "--transitions", "100000000")
    killed = sandbox.start(*arguments, "--no-serial")
    path = sandbox.path / "data"
    killed.until(lambda: len(list(path.rglob("*.chunks"))) == 2, "both actors write")
    killed.until(lambda: Recording.open(path).transitions("breakout") >= 200, "they have written some chunks")
    killed.kill_group()
    for series in Recording.open(path).series["breakout"]:
        (segment,) = series.segments
        whole = (folder / "breakout" / segment.path.name).read_bytes()
        common = min(len(whole), segment.size)
        assert common > 0 and segment.path.read_bytes()[:common] == whole[:common]

    stopped = sandbox.start(*arguments)
    stopped.until(lambda: len(list(path.rglob("*.chunks"))) == 4, "both actors go on")
    stopped.signal(signal.SIGINT)
    assert stopped.wait() == 0, stopped.output
    assert "the same command goes on" in stopped.output and "Traceback" not in stopped.output
    found = chunks_of(path, "breakout")
    assert len({(chunk.header.producer_id, chunk.header.sequence) for chunk in found}) == len(found)
    assert len({chunk.header.producer_id for chunk in found}) == 4
    assert sandbox.leftovers() == []
