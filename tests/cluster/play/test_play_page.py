"""The live page of models, and the page of disagreements, in a real headless Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import cli
from cluster.play.lineup import line_up
from cluster.play.server import play_server
from tests.support import programs
from tests.support.browser import Browser, browsing
from tests.support.page_rules import CONTRASTS, LEAST_CONTRAST, PICTURES, complaints
from tests.support.played_models import untrained_student, worse_student
from tests.support.sandbox import TEACHERS

pytestmark = pytest.mark.skipif(programs.find("chromium") is None, reason=programs.without("chromium"))

SIZES = pytest.mark.parametrize("size", [(1280, 900), (360, 780)], ids=["desktop", "phone"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@SIZES
def test_models_play_on_the_page(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    model = untrained_student(tmp_path / "two.safetensors", breakout=4, qbert=6)
    with play_server(model.name, line_up(model, (), None, (TEACHERS / "qbert.safetensors",)), 1, 0.05, 0) as server:
        page = browser.open(f"http://{server.address}/", *size)
        page.until(f"{PICTURES} === 3", "a student alone, and one beside its teacher")
        page.until("document.querySelector('.mind-rows .values').textContent !== ''", "q-values")
        text = page.evaluate("document.body.innerText")
        for expected in (
            "two.safetensors",
            "Breakout",
            "Qbert",
            "Student",
            "Teacher",
            "Both networks on the screen of",
        ):
            assert expected in text
        first = page.evaluate("document.querySelector('.screen img').src")
        page.until(f"document.querySelector('.screen img').src !== {first!r}", "another picture")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        for theme in ("light", "dark"):
            page.evaluate(f"document.querySelector('#theme input[value={theme}]').click()")
            assert [text for text in page.evaluate(CONTRASTS) if text[1] < LEAST_CONTRAST] == []
        page.evaluate("document.getElementById('play').click()")
        page.until("document.getElementById('play').getAttribute('aria-pressed') === 'false'", "it is paused")
        assert complaints(page) == []
        page.call("Page.close")


@pytest.fixture(scope="module")
def disagreements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one episode."""
    folder = tmp_path_factory.mktemp("page")
    model, out = worse_student(folder / "student.safetensors"), folder / "page.html"
    words = ["disagree", str(model), "--teachers", str(TEACHERS), "--episodes", "1", "--states", "2", "--out", str(out)]
    assert cli.run(words) == 0
    return out


@SIZES
def test_the_page_of_disagreements_can_be_read_and_its_clips_play(
    browser: Browser, disagreements: Path, size: tuple[int, int]
) -> None:
    page = browser.open(disagreements.as_uri(), *size)
    page.until("document.readyState === 'complete'", "the page")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert [text for text in page.evaluate(CONTRASTS) if text[1] < LEAST_CONTRAST] == []
    page.evaluate("document.querySelector('video').play()")
    page.until("document.querySelector('video').currentTime > 0.2", "a clip that plays")
    assert complaints(page) == []
    page.call("Page.close")
