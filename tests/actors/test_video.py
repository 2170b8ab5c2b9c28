import imageio.v2 as imageio
import numpy as np
import pytest

from actors.video import FRAMES_PER_SECOND, record_episode
from distill.errors import RunError
from distill.games import action_count


def indifferent(game):
    return lambda observations: np.zeros((len(observations), action_count(game)), np.float32)


def record(path, game="breakout", **settings):
    return record_episode(path, game, indifferent(game), **({"epsilon": 1.0, "seed": 4, "max_steps": 40} | settings))


def test_a_video_has_one_colour_picture_per_step_at_twice_the_size(tmp_path):
    recording = record(tmp_path / "breakout.mp4")
    assert (recording.steps, recording.finished) == (40, False)
    reader = imageio.get_reader(recording.path, format="FFMPEG")
    metadata = reader.get_meta_data()
    frames = list(reader.iter_data())
    assert metadata["fps"] == FRAMES_PER_SECOND == 15
    assert metadata["source_size"] == (320, 420)
    assert metadata["pix_fmt"].startswith("yuv420p")
    assert len(frames) == 41
    # Breakout's rows of bricks, from the top: red above blue.
    red, blue = frames[-1][118, 40].astype(int), frames[-1][180, 40].astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 60, "something moves"


def test_a_tall_screen_keeps_its_size(tmp_path):
    path = record(tmp_path / "air_raid.mp4", "air_raid", max_steps=5).path
    assert imageio.get_reader(path, format="FFMPEG").get_meta_data()["source_size"] == (320, 500)


def test_a_video_ends_with_its_episode(tmp_path):
    recording = record(tmp_path / "whole.mp4", max_steps=2000)
    assert recording.finished
    assert 100 < recording.steps < 2000
    assert recording.score >= 0.0


def test_the_same_seed_films_the_same_play(tmp_path):
    first, second, other = (
        record(tmp_path / f"{name}.mp4", max_steps=2000, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert (first.score, first.steps) == (second.score, second.steps)
    assert first.steps != other.steps
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_failed_recording_leaves_nothing_and_keeps_the_older_video(tmp_path):
    path = record(tmp_path / "pong.mp4", "pong", max_steps=5).path
    before = path.read_bytes()

    def broken(observations):
        return np.full((len(observations), 6), np.nan, np.float32)

    with pytest.raises(RunError, match="finite"):
        record_episode(path, "pong", broken)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pong.mp4"]


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(RunError, match=r"missing/x\.mp4"):
        record(tmp_path / "missing" / "x.mp4")
