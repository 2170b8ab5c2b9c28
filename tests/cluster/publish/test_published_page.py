"""The page of a published model in a real Chromium, from the disk: the network runs there as it ran here."""

import base64
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actors.policy import warm_policy
from actors.video import record_episode
from cluster.publish.episode import MOST_STEPS, as_document, play
from cluster.publish.player_page import player_page
from cluster.publish.runtime import Runtime, fetch_runtime
from distill.errors import RunError
from distill.inference import make_q_function
from distill.models import load_model
from distill.onnx_graph import build_onnx
from tests.support import programs
from tests.support.browser import Browser, Page, browsing

STUDENT = Path(__file__).resolve().parents[2] / "golden/0.1.0/run/student.safetensors"
MINUS = "\N{MINUS SIGN}"
DESKTOP, PHONE = (1280, 900), (360, 780)


@pytest.fixture(scope="module")
def network():
    return load_model(STUDENT)[0]


def unpacked(text: str, rows: int) -> np.ndarray:
    changes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(rows, -1)
    return np.bitwise_xor.accumulate(changes, axis=0)


@pytest.mark.parametrize("game, epsilon", [("breakout", 0.05), ("pong", 0.0)])
def test_a_document_holds_what_was_seen_said_and_done(network, game: str, epsilon: float, tmp_path: Path):
    policy = warm_policy(make_q_function(network), game)
    steps = [step for step, _ in zip(play(game, policy, epsilon, 7), range(MOST_STEPS), strict=False)]
    document = as_document(game, policy, epsilon, 7)
    count = document["steps"]
    assert count == len(steps)
    frames = unpacked(document["frames"], count).reshape(count, 84, 84)
    padded = np.concatenate([np.zeros((3, 84, 84), np.uint8), frames])
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in document["palette"]], np.uint8)
    pictures = palette[unpacked(document["pictures"], count)].reshape(count, document["height"], document["width"], 3)
    q_values = np.frombuffer(base64.b64decode(document["q_values"]), "<f4").reshape(count, -1)
    for index, step in enumerate(steps):
        assert np.array_equal(padded[index : index + 4], step.observation)
        assert np.array_equal(pictures[index], step.picture)
        assert np.array_equal(q_values[index], step.q_values)
    assert document["taken"] == [step.action for step in steps]


def test_film_and_page_show_the_same_episode(network, tmp_path: Path):
    policy = warm_policy(make_q_function(network), "breakout")
    film = record_episode(tmp_path / "film.mp4", "breakout", policy, seed=3, max_steps=200)
    rewards = [step.reward for step, _ in zip(play("breakout", policy, 0.05, 3), range(200), strict=False)]
    assert (film.steps, film.score) == (len(rewards), sum(rewards))


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    programs.require("npm", "the page of a published model")
    try:
        return fetch_runtime()
    except RunError as error:
        pytest.skip(f"without npm's registry ({error})")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    programs.require("chromium", "the page of a published model")
    with browsing(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def html(runtime: Runtime, network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "play.html"
    games = tuple(network.actions)
    recordings = [as_document(game, warm_policy(make_q_function(network), game), 0.05, 1) for game in games]
    model = build_onnx(network).SerializeToString()
    path.write_text(player_page("small </script><b>", model, recordings, runtime))
    return path


@pytest.fixture(scope="module", params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, html: Path) -> Page:
    page = browser.open(html.as_uri(), *request.param)
    state = page.until("document.documentElement?.dataset.state", "the network is loaded")
    assert state == "ready", page.evaluate("document.getElementById('problem').textContent")
    return page


def shown(page: Page, name: str) -> str:
    return page.evaluate(f"document.getElementById('{name}').textContent")


def test_the_network_says_in_the_browser_what_it_said_when_it_was_recorded(page: Page):
    for step in (0, 1, 2, 3, 40, 200):
        page.evaluate(
            f"(at => {{ at.value = {step}; at.dispatchEvent(new Event('input')); }})(document.getElementById('at'))"
        )
        page.until(
            f"document.getElementById('where').textContent.startsWith('Step {step + 1} of ')", "the step is drawn"
        )
    assert float(shown(page, "difference").replace(MINUS, "-")) < 1e-3
    agreed, of = shown(page, "same").split(" of ")
    assert agreed == of


def test_it_plays_until_it_is_paused(page: Page):
    page.evaluate("document.getElementById('play').click()")
    page.until("Number(document.getElementById('at').value) > 203", "some steps are played")
    page.evaluate("document.getElementById('play').click()")
    assert shown(page, "play") == "Play"


def test_another_game_can_be_chosen(page: Page, network):
    games = tuple(network.actions)
    page.evaluate("(s => { s.value = '1'; s.dispatchEvent(new Event('change')); })(document.getElementById('game'))")
    page.until(f"document.querySelectorAll('#actions li').length === {network.actions[games[1]]}", "the other game")
    page.until("document.getElementById('where').textContent.startsWith('Step 1 of ')", "its first step")


def test_a_name_is_text_and_the_page_asks_nobody_for_anything(page: Page):
    assert shown(page, "title") == "small </script><b>"
    asked = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert all(url.startswith(("file:", "blob:")) for url in asked), asked
    assert page.events("Runtime.exceptionThrown") == []
    assert not [event for event in page.events("Log.entryAdded") if event["entry"]["level"] == "error"]


def test_nothing_is_wider_than_the_window(page: Page):
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
