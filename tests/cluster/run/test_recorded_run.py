"""Runs of recorded data: without Redis, the same student for the same data, and sound data alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file

from cluster import cli
from cluster.commands.run import command
from distill.recording import Recording
from distill.recording_changes import writing
from distill.student import load_student
from tests.support.sandbox import TEACHERS, checkpointed, rows

Capture = pytest.CaptureFixture[str]
TRANSITIONS = 1_200
RECORD = ("--teachers", str(TEACHERS), "--lanes", "4", "--chunk-steps", "16", "--serial")
TINY = (
    "--student", "one_percent", "--min-replay", "256", "--learner-threads", "1", "--eval-episodes", "1",
    "--eval-lanes", "1", "--final-episodes", "0", "--no-video",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two games."""
    path = tmp_path_factory.mktemp("recorded") / "data"
    games = ("--games", "breakout", "pong", "--transitions", str(TRANSITIONS))
    assert cli.run(["record", str(path), *RECORD, *games]) == 0
    return path


def train(root: Path, name: str, data: Path, *options: str) -> Path:
    command(("--data", str(data), "--root", str(root), "--name", name, *TINY, *options), Console(quiet=True))
    return root / name


def weights(run: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(run / "student.safetensors").items()}


def learner(run: Path) -> dict[str, float | dict[str, int]]:
    return rows(run, "metrics.jsonl")[-1]["learners"]["student"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return train(root, "full", data, "--updates", "200", "--eval-every", "100", "--final-episodes", "1")


def test_it_leaves_what_every_run_leaves_and_no_redis(finished: Path, data: Path):
    settings = yaml.safe_load((finished / "config.yaml").read_text())
    assert (settings["data"], settings["games"], settings["chunk_steps"]) == (str(data), ["breakout", "pong"], 16)
    assert settings["serial"] is True and settings["teachers"] == [
        str(data / game / "teacher.safetensors") for game in ("breakout", "pong")
    ]
    assert not (finished / "redis").exists()
    evaluations = rows(finished, "evaluations.jsonl")
    assert [(row["version"], row["updates"], row["game"]) for row in evaluations] == [
        (version, 100 * version, game) for version in (1, 2) for game in ("breakout", "pong")
    ]
    result = json.loads((finished / "evaluation.json").read_text())
    assert {comparison["student"]["game"] for comparison in result["comparisons"]} == {"breakout", "pong"}
    student = load_student(finished / "student.safetensors")
    assert student.card.training["updates"] in (100, 200)
    names = json.loads((finished / "models" / "student" / "names.json").read_text())
    assert names["latest"] == 2 and names["best"] == names["production"]


def test_data_are_read_as_they_are_needed(finished: Path):
    counts = learner(finished)
    assert (counts["updates"], counts["samples"]) == (200, 200 * 32)
    inserted = counts["inserted_transitions"]
    # Six samples of each transition, and not a round of reading more.
    assert 200 * 32 / 6 <= sum(inserted.values()) < 200 * 32 / 6 + 2 * 8 * 16
    assert abs(inserted["breakout"] - inserted["pong"]) <= 8 * 16, "games take turns"
    assert not any(counts["rejected_chunks"].values())


def test_the_same_data_and_seed_give_the_same_student_and_others_another(tmp_path: Path, data: Path):
    options = ("--updates", "60", "--eval-every", "30")
    copied = tmp_path / "copied"
    shutil.copytree(data, copied)
    one = weights(train(tmp_path, "one", data, *options))
    assert weights(train(tmp_path, "again", copied, *options)) == one
    assert weights(train(tmp_path, "seed", data, *options, "--seed", "2")) != one


def test_when_the_data_end_the_learner_goes_on_with_its_replay(tmp_path: Path, data: Path):
    counts = learner(train(tmp_path, "long", data, "--games", "pong", "--updates", "300", "--eval-every", "1000"))
    assert counts["updates"] == 300 and counts["inserted_transitions"] == {"pong": TRANSITIONS}
    assert 300 * 32 / TRANSITIONS > 6


def test_without_a_ratio_the_data_are_read_as_fast_as_updates_are_made(tmp_path: Path, data: Path):
    free = ("--sample-to-insert", "None", "--updates", "20", "--eval-every", "1000", "--games", "pong")
    counts = learner(train(tmp_path, "free", data, *free))
    assert counts["inserted_transitions"] == {"pong": TRANSITIONS}


def test_of_more_data_than_the_replay_holds_the_newest_stay(tmp_path: Path, data: Path):
    small = ("--replay-capacity", "2048", "--sample-to-insert", "None", "--updates", "20", "--eval-every", "1000")
    counts = learner(train(tmp_path, "small", data, *small, "--min-replay", str(TRANSITIONS)))
    assert counts["replay_transitions"] == {"breakout": TRANSITIONS, "pong": TRANSITIONS}


def test_a_resumed_run_goes_on_with_the_same_data(tmp_path: Path, data: Path):
    run = train(tmp_path, "resumed", data, "--updates", "80", "--eval-every", "40")
    before = learner(run)
    assert checkpointed(run) == 80
    command(("--resume", str(run), "--updates", "160"), Console(quiet=True))
    after = learner(run)
    assert (after["updates"], after["samples"]) == (160, 160 * 32)
    # What was counted fills the replay again, and is not counted again.
    assert after["inserted_transitions"] == after["replay_transitions"]
    assert sum(after["inserted_transitions"].values()) > sum(before["inserted_transitions"].values())
    assert [row["version"] for row in rows(run, "evaluations.jsonl") if row["game"] == "pong"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "options, expected",
    [
        (("--actors", "2"), "actors: found 2; a run with `data` plays nothing and needs no buffer"),
        (("--lanes", "4"), "lanes: found 4"),
        (("--driver", "mixture"), "driver: found 'mixture'"),
        (("--epsilon", "0.1"), "epsilon: found 0.1"),
        (("--chunk-steps", "32"), "chunk_steps: found 32"),
        (("--buffer", "redis://localhost"), "buffer: found"),
        (("--capacity", "5000"), "capacity: found 5000"),
        (("--address", "auto"), "address: found 'auto'"),
        (("--teachers", str(TEACHERS / "pong.safetensors")), "teachers: "),
        (("--games", "qbert"), "has breakout, pong, not qbert"),
        (("--min-replay", "5000"), "has 1200 transitions of breakout: lower it, or record more"),
        (("--data", "nowhere"), "nowhere: expected a recording, with manifest.json in it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_settings_that_do_not_fit_are_refused_in_a_line(
    tmp_path: Path, data: Path, capsys: Capture, options: tuple[str, ...], expected: str
):
    given = ("--root", str(tmp_path / "runs"), "--data", str(data), *TINY, *options)
    assert cli.run(["run", *given]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.count("\n") == 1 and not (tmp_path / "runs").exists()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "pattern, damage",
    [
        ("pong/*.chunks", flip),
        ("pong/*.chunks", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("pong/*.chunks", Path.unlink),
        ("breakout/*.index", flip),
        ("breakout/*.index", Path.unlink),
        ("breakout/teacher.safetensors", flip),
        ("manifest.json", flip),
    ],
)
def test_damaged_data_are_named_and_nothing_begins(
    tmp_path: Path, data: Path, capsys: Capture, pattern: str, damage: Callable[[Path], object]
):
    copied = tmp_path / "copied"
    shutil.copytree(data, copied)
    (path,) = copied.glob(pattern)
    damage(path)
    assert cli.run(["run", "--root", str(tmp_path / "runs"), "--data", str(copied), *TINY]) == 2
    message = capsys.readouterr().err
    assert str(path) in message and message.count("\n") == 1 and not (tmp_path / "runs").exists()


def test_damage_to_a_game_that_is_not_learned_does_not_matter(tmp_path: Path, data: Path):
    copied = tmp_path / "copied"
    shutil.copytree(data, copied)
    flip(next(copied.glob("pong/*.chunks")))
    train(tmp_path, "breakout", copied, "--games", "breakout", "--updates", "20", "--eval-every", "1000")


def test_what_is_being_recorded_is_not_learned_from(tmp_path: Path, data: Path, capsys: Capture):
    with writing(data):
        assert cli.run(["run", "--root", str(tmp_path / "runs"), "--data", str(data), *TINY]) == 2
    assert f"{data}: it is being recorded" in capsys.readouterr().err
    assert Recording.open(data).transitions("pong") == TRANSITIONS


def test_what_is_made_of_runs_is_made_of_it(tmp_path: Path, finished: Path, capsys: Capture):
    copied = tmp_path / "copied"
    shutil.copytree(finished, copied)
    assert cli.run(["report", str(copied), "--out", str(tmp_path / "report.html")]) == 0
    assert cli.run(["models", str(copied), "--lineage", "student", "--roll-back", "--version", "1"]) == 0
    assert "production of student is version 1 again" in capsys.readouterr().out
    assert json.loads((copied / "models" / "student" / "names.json").read_text())["production"] == 1
    assert not (copied / "redis").exists()
