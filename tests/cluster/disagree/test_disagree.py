"""Where a student loses: costs, how often they come, clips of the same play, and the page."""

import base64
import io
import re
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.judged_episode import JudgedEpisode, judged_episodes
from actors.policy import warm_policy
from cluster import cli
from cluster.disagree.clips import AFTER, BEFORE, clips
from cluster.disagree.findings import APART, find
from distill.errors import RunError
from distill.inference import load_q_function
from tests.support.played_models import untrained_student, worse_student
from tests.support.sandbox import TEACHERS

BREAKOUT = TEACHERS / "breakout.safetensors"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worse_student(tmp_path_factory.mktemp("models") / "student.safetensors")


def policies(student: Path):
    return warm_policy(load_q_function(student)[0], "breakout"), warm_policy(load_q_function(BREAKOUT)[0], "breakout")


@pytest.fixture(scope="module")
def episodes(student: Path) -> list[JudgedEpisode]:
    mine, judge = policies(student)
    played = judged_episodes("breakout", mine, judge, episodes=3, epsilon=0.1, seed=4)
    return [episode for episode in played if episode is not None]


def test_every_episode_is_whole_and_every_choice_is_judged(episodes: list[JudgedEpisode]) -> None:
    assert sorted(episode.number for episode in episodes) == [0, 1, 2]
    for episode in episodes:
        assert len(episode.taken) == len(episode.chosen) == len(episode.best) == len(episode.costs) > 50
        assert (episode.costs >= 0.0).all()
        np.testing.assert_array_equal(episode.costs == 0.0, episode.chosen == episode.best)
        random = (episode.taken != episode.chosen).mean()
        assert 0.01 < random < 0.2
    assert len({episode.taken.tobytes() for episode in episodes}) == 3


def made(costs: list[list[float]], seed: int = 0) -> list[JudgedEpisode]:
    """Return episodes of given costs; where it costs nothing, both choose the same."""
    generator = np.random.default_rng(seed)
    made_up = []
    for number, of_episode in enumerate(costs):
        values = np.array(of_episode, np.float32)
        best = generator.integers(0, 4, len(values))
        chosen = np.where(values > 0, (best + generator.integers(1, 4, len(values))) % 4, best)
        made_up.append(JudgedEpisode("breakout", number, number, 1.0, chosen, chosen, best, values))
    return made_up


costs = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=150), min_size=1, max_size=4
)


@given(costs=costs, most=st.integers(1, 8))
def test_findings_agree_with_the_obvious_way(costs: list[list[float]], most: int) -> None:
    found = find("breakout", made(costs), most)
    everything = [cost for of_episode in costs for cost in of_episode]
    expected: list[tuple[int, int]] = []
    for cost, number, step in sorted((-c, n, s) for n, of in enumerate(costs) for s, c in enumerate(of) if c > 0.0):
        near = [other for other in expected if other[0] == number and abs(other[1] - step) < APART]
        if len(expected) < most and not near:
            expected.append((number, step))
            assert found.costly[len(expected) - 1].cost == -cost
            assert found.costly[len(expected) - 1].as_costly == sum(other >= -cost for other in everything)
    assert [(state.episode.number, state.step) for state in found.costly] == expected
    assert found.steps == len(everything)
    assert found.differing == sum(cost > 0.0 for cost in everything)
    assert found.cost == pytest.approx(sum(everything))
    assert sum(confusion.steps for confusion in found.confusions) == found.differing
    assert sum(confusion.cost for confusion in found.confusions) == pytest.approx(found.cost)
    for often in found.often:
        there = [cost for cost in everything if cost >= often.cost and cost > 0.0]
        assert often.steps == len(there)
        assert often.share_of_cost == pytest.approx(sum(there) / sum(everything))


def test_a_clip_shows_the_play_around_its_state(student: Path, episodes: list[JudgedEpisode]) -> None:
    _, judge = policies(student)
    found = find("breakout", episodes, 4)
    cut = list(clips("breakout", found.costly, judge))
    assert {id(clip.state) for clip in cut} == {id(state) for state in found.costly}
    for clip in cut:
        state = clip.state
        assert clip.judged.max() - clip.judged[state.episode.chosen[state.step]] == pytest.approx(state.cost, abs=1e-3)
        data = base64.b64decode(clip.film.video.partition(",")[2])
        frames = list(imageio.get_reader(io.BytesIO(data), format="mp4").iter_data())
        before, after = min(BEFORE, state.step), min(AFTER, len(state.episode.taken) - state.step)
        assert len(frames) == before + 15 + after
        still = imageio.imread(io.BytesIO(base64.b64decode(clip.film.still.partition(",")[2])))
        assert np.abs(still.astype(int) - frames[before + 3]).mean() < 6.0, "it stands still there"


def test_an_episode_that_plays_otherwise_the_second_time_is_refused(
    student: Path, episodes: list[JudgedEpisode]
) -> None:
    _, judge = policies(student)
    state = find("breakout", episodes, 1).costly[0]
    other = JudgedEpisode(**{**vars(state.episode), "seed": state.episode.seed + 1})
    moved = type(state)(other, state.step, state.cost + 0.5, state.as_costly)
    with pytest.raises(RunError, match="expected a cost of"):
        list(clips("breakout", [moved], judge))


def test_the_page_is_whole_and_asks_nobody(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["disagree", str(student), "--teachers", str(BREAKOUT), "--episodes", "2", "--states", "3"]
    assert cli.run(words) == 0
    told = capsys.readouterr().out
    assert re.search(r"breakout: same choice in [0-9.]+% of [0-9,]+ steps, .* given away per 1,000", told)
    text = (tmp_path / "disagreements.html").read_text()
    assert text.count("<video") == 3
    assert not re.search(r"https?://", text)
    assert "default-src &#x27;none&#x27;" in text
    for expected in ("The costliest states", "How often they come", "What it takes for what", "1 step in"):
        assert expected in text
    assert cli.run([*words, "--states", "1"]) == 0, "an older page is replaced"
    assert (tmp_path / "disagreements.html").read_text().count("<video") == 1


def test_a_student_that_is_its_teacher_loses_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = worse_student(tmp_path / "same.safetensors", noise=0.0)
    out = tmp_path / "page.html"
    words = ["disagree", str(same), "--teachers", str(BREAKOUT), "--episodes", "1", "--out", str(out)]
    assert cli.run(words) == 0
    assert "same choice in 100.0% of" in capsys.readouterr().out
    assert "The student chose as its teacher would in every state." in out.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--games", "qbert"), "plays breakout, pong, not qbert"),
        (("--teachers", "none"), "teachers: none for breakout, pong in none"),
        (("--games", "Pong-v4", "--teachers", str(BREAKOUT)), "games: no teacher for pong"),
        (("--out", "thesis.txt"), "expected a page of `distill disagree` to replace, found something else"),
        (("--states", "0"), "states: expected at least 1"),
    ],
)
def test_wrong_use_is_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    of_two = untrained_student(tmp_path / "two.safetensors", breakout=4, pong=6)
    assert cli.run(["disagree", str(of_two), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
