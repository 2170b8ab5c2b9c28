"""Whole reports: well-formed, self-contained, accessible, and what they say of runs that are not as they should be."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from cluster import cli
from cluster.analysis.run_data import read_runs
from cluster.report.page import document
from tests.support.made_runs import made_online_run, made_run, noise

VOID = {"meta", "img", "br", "hr"}
FINAL = {"breakout": noise(1, 10.0), "pong": noise(2, 0.0)}


class Page(HTMLParser):
    """A parsed page: every element must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == [], "closed to the end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(*paths: Path, video_bytes: int = 1_000_000) -> Page:
    return Page(document(read_runs(paths), video_bytes))


def film(path: Path, frames: int = 60) -> None:
    path.parent.mkdir(exist_ok=True)
    pictures = np.random.default_rng(1).integers(0, 255, (frames, 32, 32, 3), dtype=np.uint8)
    with imageio.get_writer(path, format="FFMPEG", fps=15) as writer:
        for picture in pictures:
            writer.append_data(picture)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two finished seeds."""
    final = {"breakout": noise(3, 12.0), "pong": noise(4, 1.0)}
    return made_run(tmp_path, "one", final=FINAL).path, made_run(tmp_path, "two", seed=2, final=final).path


def test_nothing_is_fetched_and_nothing_can_run(two: tuple[Path, Path]):
    film(two[0] / "videos" / "pong.mp4")
    text = document(read_runs(two), 1_000_000)
    parsed = Page(text)
    for _, attributes in parsed.elements:
        for name in ("src", "href", "poster", "data", "action", "srcset", "xlink:href"):
            if name in attributes:
                assert (attributes[name] or "").startswith(("#", "data:video/mp4;", "data:image/png;"))
        assert not any(name.startswith("on") for name in attributes), "no handlers"
    assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in parsed.elements}
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(meta for meta in parsed.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'")


def test_it_can_be_read_without_seeing_and_without_a_mouse(two: tuple[Path, Path]):
    film(two[0] / "videos" / "pong.mp4")
    parsed = page(*two)
    assert len(parsed.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h\d", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level is skipped"
    assert len(parsed.all("table")) == len(parsed.all("caption")) > 4
    assert all("scope" in heading for heading in parsed.all("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in parsed.all("svg"))
    assert all(video.get("aria-label") and "controls" in video for video in parsed.all("video"))
    scrolled = [each for each in parsed.all("div") if each.get("class") == "scroll"]
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in scrolled)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"] for link in parsed.all("a")} <= {f"#{name}" for name in ids}


def test_two_seeds_are_one_condition(two: tuple[Path, Path]):
    text = page(*two).text
    assert "A: one, two" in text
    assert "Probability of improvement" not in text, "there is nothing to compare with"
    assert "Probability that an episode of X scores above one of Y" in text
    assert "Nothing is missing or unusual." in text
    assert len(re.findall(r"\d\.\d{3} \[-?\d\.\d{3}, \d\.\d{3}\]", text)) > 10


def test_two_conditions_are_compared_over_runs(tmp_path: Path):
    paths: list[Path] = []
    for loss, mean in (("kl", 10.0), ("mse", -10.0)):
        for seed in (1, 2):
            final = {"pong": noise(seed, mean)}
            paths.append(made_run(tmp_path, f"{loss}{seed}", games=["pong"], loss=loss, seed=seed, final=final).path)
    text = page(*paths).text
    assert "A: loss kl" in text
    assert "Probability of improvement" in text
    assert "1.000 [1.000, 1.000]" in text, "the better loss wins every time"
    assert "different losses, whose values cannot be compared" in text


def test_unlike_runs_are_reported_with_what_makes_them_unlike(tmp_path: Path, two: tuple[Path, Path]):
    other = made_run(tmp_path, "breakout-only", games=["breakout"], final={"breakout": noise(5, 3.0)}).path
    environment = other / "environment.json"
    environment.write_text('{"git_commit": "0123456789abcdef-dirty", "versions": {"torch": "1.0"}}')
    text = page(two[0], other, made_online_run(tmp_path, "online").path).text
    assert "different games" in text
    assert "different commits" in text
    assert "different versions of" in text
    assert "0123456789 with changes" in text
    assert "no game in common" not in text
    assert "Newest evaluations of runs without one at the end" in text
    assert text.count("the run is in no aggregate") == 1, "that of the unfinished one"


def test_runs_without_a_common_game_are_not_compared(tmp_path: Path):
    paths = [made_run(tmp_path, game, games=[game], final={game: noise(1, 5.0)}).path for game in ("breakout", "pong")]
    assert page(*paths).text.count("no game in common") == 2


def test_a_run_without_anything_is_still_reported(tmp_path: Path):
    folder = made_run(tmp_path, "empty")
    for file in ("metrics.jsonl", "evaluations.jsonl"):
        (folder.path / file).unlink()
    text = page(folder.path).text
    for said in (
        "There are no metrics", "No run has evaluated anything", "nothing to put together", "filmed nothing",
        "it is not known where time was spent", "No version was evaluated", "neither metrics nor evaluations",
    ):  # fmt: skip
        assert said in text


def test_promotions_of_a_run_with_q_learners_are_told(tmp_path: Path):
    parsed = page(made_online_run(tmp_path, "online").path)
    assert "Q-learner of pong: versions decided on: 1 promoted, 1 superseded" in parsed.text
    assert "pong -18.5 [-19.0, -18.0] of 4 episodes" in parsed.text
    told = [str(svg.get("aria-label")) for svg in parsed.all("svg")]
    curve = next(each for each in told if each.startswith("pong: raw"))
    assert "minutes of training" in curve
    assert "best Q-learner so far -18.5 at 0.5" in curve, "what did not promote it, from the promotion on"
    assert "candidate from -19 at 1 to -18.5 at 2" in curve, "what was played for the curves"


def test_what_a_run_holds_is_escaped(tmp_path: Path):
    hostile = "</style><script>alert(1)</script>"
    folder = made_run(tmp_path, "one", final=FINAL)
    config = folder.path / "config.yaml"
    config.write_text(config.read_text() + f'note: "{hostile}"\n')
    (folder.path / "environment.json").write_text(f'{{"git_commit": "{hostile}", "versions": {{"{hostile}": "1"}}}}')
    (folder.path / "videos").mkdir()
    (folder.path / "videos" / "<script>.mp4").write_bytes(b"")
    text = document(read_runs([folder.path]), 1_000_000)
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert hostile in Page(text).text


def test_films_are_put_in_as_far_as_they_fit(two: tuple[Path, Path]):
    first, second, broken = (
        two[0] / "videos" / "breakout.mp4", two[0] / "videos" / "pong.mp4", two[1] / "videos" / "pong.mp4",
    )  # fmt: skip
    film(first)
    film(second, 90)
    broken.parent.mkdir()
    broken.write_bytes(first.read_bytes()[:100])
    parsed = page(*two, video_bytes=second.stat().st_size + 10)
    (video,) = parsed.all("video")
    assert video["aria-label"] == "One episode of breakout, student, one"
    assert (video["width"], video["height"]) == ("32", "32")
    assert str(video["poster"]).startswith("data:image/png;base64,")
    assert "2 of 3 films are left out" in parsed.text
    assert f"{second}" in parsed.text
    assert "--video-megabytes" in parsed.text
    assert f"{broken}: expected an MP4 film" in parsed.text
    assert len(page(*two).all("video")) == 2


def test_the_command_writes_the_file(tmp_path: Path, two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "report.html"
    assert cli.run(["report", *map(str, two), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>\n<html lang=")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "name the folder of a run"),
        (("nowhere",), "expected a run's folder with config.yaml"),
        (("one", "one"), "given twice"),
        (("one", "--out", "nowhere/report.html"), "is no folder"),
        (("one", "--video-megabytes", "-1"), "video_megabytes"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    made_run(tmp_path, "one")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()
