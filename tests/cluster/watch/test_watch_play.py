"""The live page's players: who plays, what is shown of it, and that a broken game holds up no other."""

import asyncio
import base64
import io
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import yaml

from cluster.models.mirror import ModelMirror
from cluster.monitor.logs import Origin, log_file
from cluster.state.folder import LOG, open_any_run
from cluster.state.log_lines import PROGRESS
from cluster.watch.cast import Cast, Player, Who
from cluster.watch.match import AGREEMENT_STEPS, Match, png, softmax
from cluster.watch.stage import BESIDE_A_RUN, Stage
from cluster.watch.state import StateReader
from distill.errors import ConfigError, DistillError, RunError


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(small_run, tmp_path / "run", ignore=shutil.ignore_patterns("redis", "videos")))


def cast_of(run: Path) -> Cast:
    return Cast(*open_any_run(run))


def match_of(run: Path, game: str = "breakout") -> Match:
    return Match(game, cast_of(run), seed=1, epsilon=0.05, tau=0.01, student_tau=1.0)


def change(run: Path, **settings: object) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | settings))


def test_softmax_is_that_of_the_loss_and_does_not_overflow():
    values = np.array([0.01, 0.02, 5.0], np.float32)
    np.testing.assert_allclose(softmax(values, 1.0), np.exp(values) / np.exp(values).sum(), rtol=1e-6)
    np.testing.assert_allclose(softmax(values, 0.001), [0.0, 0.0, 1.0], atol=1e-12)


def test_a_picture_survives_as_png():
    picture = np.random.default_rng(0).integers(0, 255, (210, 160, 3), np.uint8)
    np.testing.assert_array_equal(imageio.imread(io.BytesIO(base64.b64decode(png(picture)))), picture)


def test_student_and_teacher_begin_alike_and_play_on_their_own(run: Path):
    match = match_of(run)
    first = match.advance(0)
    seats = first["seats"]
    assert seats["student"]["picture"] == seats["teacher"]["picture"]
    assert first["agreement"] is None
    assert first["views"].keys() == {"student", "teacher"}
    later = match.advance(AGREEMENT_STEPS)
    assert later["seats"]["student"]["picture"] != later["seats"]["teacher"]["picture"]
    assert 0.0 <= later["agreement"] <= 1.0
    assert later["seats"]["student"]["action"] in range(4)
    assert len(later["views"]["student"]["outputs"]) == 4
    assert json.dumps(later, allow_nan=False)
    match.close()


def test_an_episode_ends_and_the_next_begins(run: Path):
    match = match_of(run)
    for _ in range(400):
        seat = match.advance(10)["seats"]["student"]
        if seat["last_score"] is not None:
            break
    assert seat["last_score"] is not None
    assert seat["seconds"] < 1.0
    match.close()


def test_a_newer_version_takes_over_in_the_middle_of_an_episode(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cluster.watch.cast.LOOK_SECONDS", 0.0)
    match = match_of(run)
    before = match.advance(20)
    assert before["seats"]["student"]["version"] == 2
    mirror = ModelMirror(run, "student")
    mirror.store(3, mirror.data(1) or b"", "{}")
    mirror.store_names({"latest": 3})
    after = match.advance(3)
    assert after["seats"]["student"]["version"] == 3
    assert after["seats"]["student"]["seconds"] > before["seats"]["student"]["seconds"]
    match.close()


def test_without_a_version_the_teacher_plays_alone(run: Path):
    shutil.rmtree(run / "models")
    match = match_of(run)
    frame = match.advance(2)
    assert frame["seats"].keys() == frame["views"].keys() == {"teacher"}
    assert frame["screen_of"] == "teacher"
    assert not (run / "models").exists()
    match.close()


@pytest.mark.parametrize(
    ("command", "who", "expected"),
    [
        ("online", "student", Player(5, "student")),
        ("online", "teacher", Player(2, "pong")),
        ("teach", "student", Player(3, "breakout-pong")),
        ("teach", "teacher", None),
    ],
)
def test_who_plays_in_runs_with_q_learners(run: Path, command: str, who: Who, expected: Player | None):
    (run / "config.yaml").write_text(f"command: {command}\nname: run\ngames: [breakout, pong]\nroot: {run.parent}\n")
    for line, names in (
        ("student", {"latest": 5, "best": 4}), ("pong", {"latest": 3, "best": 2}), ("breakout-pong", {"latest": 3})
    ):  # fmt: skip
        ModelMirror(run, line).store_names(names)
    assert cast_of(run).player(who, "pong") == expected


def test_models_that_cannot_be_played_say_why(run: Path):
    (run / "models" / "student" / "2.safetensors").unlink()
    with pytest.raises(RunError, match="student 2: the run's folder does not hold its weights any more"):
        match_of(run).advance(1)
    change(run, teachers=["/nowhere/breakout.safetensors"])
    with pytest.raises(ConfigError, match="no such file /nowhere/breakout"):
        cast_of(run).player("teacher", "breakout")


def test_a_resumed_run_may_have_another_budget_and_a_damaged_one_is_told(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cluster.watch.state.LOOK_SECONDS", 0.0)
    reader = StateReader(run)
    assert reader.document()["run"]["fraction"] == 1.0
    change(run, updates=480)
    assert reader.document()["run"]["fraction"] == 0.25
    (run / "config.yaml").write_text("updates: none")
    (run / "models" / "student" / "names.json").write_text("{")
    problems = reader.document()["problems"]
    assert len(problems) == 2
    assert "config.yaml" in problems[0]
    assert "names.json" in problems[1]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_newest_messages_are_shown_however_much_progress_was_logged_since(run: Path, as_json: bool):
    (run / LOG).write_text("2026-11-01 10:11:12,345 INFO cluster.session: of 0.1.0\n")
    with log_file(run / LOG, Origin("run", "run"), as_json=as_json):
        logging.getLogger("cluster.state").warning("a thing happened")
        for i in range(1000):
            logging.getLogger(PROGRESS).warning("%d updates", i)
    reader = StateReader(run)
    assert [line["text"] for line in reader.document()["log"]] == ["a thing happened", "of 0.1.0"]


class Recorder:
    """Plays nothing, and notes when it was asked to."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self.times: list[float] = []
        self.closed = False

    def advance(self, steps: int) -> dict[str, object]:
        self.times.append(time.monotonic())
        self._act()
        return {"steps": steps}

    def close(self) -> None:
        self.closed = True


def test_a_stage_plays_at_its_pace_and_ends_with_its_last_viewer():
    recorder = Recorder(lambda: None)

    async def watch() -> None:
        stage = Stage(("pong",), lambda game: recorder)
        with stage.watch() as viewer, stage.watch() as other:
            while len(recorder.times) < 5:
                assert await viewer.next(5.0)
            assert await other.next(5.0), "a slow viewer gets the newest frame"
        async with asyncio.timeout(30.0):
            while stage.playing or not recorder.closed:
                await asyncio.sleep(0.01)
        with stage.watch() as viewer:
            assert await viewer.next(5.0), "and begins again"
        await stage.close()

    asyncio.run(watch())
    gaps = np.diff(recorder.times[:5])
    assert gaps.min() >= BESIDE_A_RUN.round_seconds * 0.95


def test_slow_games_are_played_more_slowly_instead_of_taking_the_machine():
    recorder = Recorder(lambda: time.sleep(0.1))

    async def watch() -> None:
        stage = Stage(("pong",), lambda game: recorder)
        with stage.watch() as viewer:
            while len(recorder.times) < 4:
                assert await viewer.next(5.0)
        await stage.close()

    asyncio.run(watch())
    assert np.diff(recorder.times)[1:].min() >= 0.4 * 0.95, "a quarter of a core"


def test_a_game_that_fails_is_told_and_holds_up_no_other():
    def fail() -> None:
        raise DistillError("its model is gone")

    failing, playing = Recorder(fail), Recorder(lambda: None)
    texts: list[str] = []

    async def watch() -> None:
        stage = Stage(("breakout", "pong"), lambda game: failing if game == "breakout" else playing)
        with stage.watch() as viewer:
            while len(playing.times) < 4:
                texts.extend(await viewer.next(5.0))
        await stage.close()

    asyncio.run(watch())
    assert '{"game":"breakout","error":"its model is gone"}' in texts
    assert len(failing.times) == 1, "it is tried again after some seconds only"


def test_a_stage_closes_in_the_middle_of_a_step_and_closes_its_games_after_it():
    inside, go_on = threading.Event(), threading.Event()

    def step() -> None:
        assert not recorder.closed
        inside.set()
        assert go_on.wait(30.0)
        assert not recorder.closed, "it is still played"

    recorder = Recorder(step)

    async def watch() -> None:
        stage = Stage(("pong",), lambda game: recorder)
        with stage.watch() as viewer:
            waiting = asyncio.create_task(viewer.next(30.0))
            await asyncio.to_thread(inside.wait, 30.0)
            closing = asyncio.create_task(stage.close())
            assert await waiting == [], "viewers are told at once"
            assert stage.closed
            go_on.set()
            await closing
        assert recorder.closed
        assert not stage.playing

    asyncio.run(watch())
