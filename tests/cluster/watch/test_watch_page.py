"""The live page in a real headless Chromium: it shows a run, breaks no rule, and can be used by everybody."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.state.folder import new_run
from cluster.watch.server import WatchServer
from distill.config import DistillConfig, RunConfig
from tests.support import programs
from tests.support.browser import Browser, Page, browsing
from tests.support.page_rules import CONTRASTS, LEAST_CONTRAST, PICTURES, complaints
from tests.support.sandbox import until

pytestmark = pytest.mark.skipif(programs.find("chromium") is None, reason=programs.without("chromium"))

DESKTOP, PHONE = (1280, 900), (360, 780)
MOST_SHIFT = 0.05
"""Half of what web.dev calls good."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(small_run: Path) -> Iterator[WatchServer]:
    with WatchServer(small_run) as server:
        yield server


@pytest.fixture(scope="module", params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, server: WatchServer) -> Iterator[Page]:
    """The page with all four pictures, on a desktop and then on a phone; each test leaves it as it was."""
    page = browser.open(server.address, *request.param)
    try:
        page.until(f"{PICTURES} === 4", "four pictures")
        yield page
    finally:
        page.call("Page.close")


def test_the_page_shows_the_run_and_the_browser_complains_of_nothing(page: Page, server: WatchServer):
    text = page.evaluate("document.body.innerText")
    for expected in ("small", "Finished", "Breakout", "Pong", "Who waits for whom", "120 updates", "breakout-0"):
        assert expected in text
    assert page.evaluate("document.querySelectorAll('.chart svg').length") >= 5
    assert page.evaluate("document.querySelectorAll('.mind-rows .mind').length") == 4 + 6
    assert complaints(page) == []
    urls = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert [url for url in urls if not url.startswith((server.address, "data:"))] == []


def test_the_games_move(page: Page):
    first = page.evaluate("document.querySelector('.screen img').src")
    page.until(f"document.querySelector('.screen img').src !== {first!r}", "another picture")


def test_nothing_jumps_and_nothing_sticks_out(page: Page):
    page.until("document.querySelector('.mind-rows .values').textContent !== ''", "the first bars")
    shifts = page.evaluate("window.shifts")
    assert sum(shift[0] for shift in shifts) < MOST_SHIFT, shifts
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        f"[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > {width} + 0.5"
        " && !e.closest('.hidden')).map((e) => e.className)"
    )
    assert wide == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(page: Page, theme: str):
    page.evaluate(f"document.querySelector('#theme input[value={theme}]').click()")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [text for text in contrasts if text[1] < LEAST_CONTRAST] == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(247, 247, 245)", "dark": "rgb(16, 19, 22)"}[theme]
    page.call("Page.reload")
    page.until(f"{PICTURES} === 4", "four pictures again")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground, "the choice lasts"
    page.evaluate("document.querySelector('#theme input[value=auto]').click()")


def test_the_system_chooses_the_theme_unless_the_user_does(page: Page):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 22)"
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(247, 247, 245)"
    page.call("Emulation.setEmulatedMedia", features=[])


def test_everything_is_reached_by_keyboard(page: Page):
    reached: list[str] = []
    for _ in range(40):
        page.press("Tab", 9)
        where = page.evaluate("document.activeElement.id || document.activeElement.className || 'body'")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none' "
                             "|| document.activeElement.matches('.segments input, body')"), where  # fmt: skip
        reached.append(where)
        if where == "plot" and reached.count("plot") == 7:
            break
    assert reached[:2] == ["skip", "play"]
    assert reached.count("plot") == 7, "two curves a game and three of the run"
    page.evaluate("document.querySelector('#ratio .plot').focus()")
    newest = page.evaluate("document.querySelector('#ratio .readout').textContent")
    page.press("Home", 36)
    assert page.evaluate("document.querySelector('#ratio .readout').textContent") != newest


def test_play_can_be_paused(page: Page, server: WatchServer):
    page.evaluate("document.getElementById('play').focus()")
    page.press(" ", 32)
    page.until("document.getElementById('play').getAttribute('aria-pressed') === 'false'", "the button is up")
    until(lambda: not server.playing, "the server plays for nobody")
    page.press(" ", 32)
    until(lambda: server.playing, "the server plays again")


def test_little_motion_is_one_still_picture_until_asked_for(browser: Browser, small_run: Path):
    # Of its own, where no other page watches.
    with WatchServer(small_run) as server:
        page = browser.open(server.address, *DESKTOP, still=True)
        page.until(f"{PICTURES} === 4", "four still pictures")
        until(lambda: not server.playing, "the server stops after the first pictures")
        assert "Press “Play live”" in page.evaluate("document.getElementById('live-note').textContent")
        page.evaluate("document.getElementById('play').click()")
        until(lambda: server.playing, "the server plays")
        page.call("Page.close")


def test_a_run_that_has_nothing_yet_says_so_in_words(browser: Browser, tmp_path: Path, small_run: Path):
    teachers = (shutil.copy(path, tmp_path) for path in (Path(__file__).parents[3] / "teachers").glob("pong*"))
    general = DistillConfig(name="empty", root=tmp_path, games=("pong",), teachers=tuple(map(Path, teachers)))
    folder = new_run(RunConfig(general=general), ["pong"])
    with WatchServer(folder.path) as server:
        page = browser.open(server.address, *DESKTOP)
        page.until(f"{PICTURES} === 1", "the teacher plays alone")
        text = page.evaluate("document.body.innerText")
        for words in ("No version was published yet", "No evaluation yet", "No update yet", "No actor reported yet",
                      "No learner reported yet", "Nothing was logged yet", "No transition arrived yet"):  # fmt: skip
            assert words in text
        assert "NaN" not in text and "undefined" not in text and "Infinity" not in text
        assert complaints(page) == []
        page.call("Page.close")


def test_a_server_that_ends_is_noticed(browser: Browser, small_run: Path):
    with WatchServer(small_run) as server:
        page = browser.open(server.address, *DESKTOP)
        page.until(f"{PICTURES} === 4", "four pictures")
    page.until("document.getElementById('status').dataset.state === 'lost'", "the page says that nobody answers")
    page.call("Page.close")
