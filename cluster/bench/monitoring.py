"""What it costs to watch a run: its throughput with metrics and page on, beside the same run with both off."""

import contextlib
import threading
import time
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.monitor.live_page import dashboard
from cluster.monitor.metrics.of_session import RunMetrics, serve_metrics
from cluster.run.drive import Run, prepare
from cluster.run.surroundings import opened
from cluster.state.folder import new_run
from cluster.state.given import GivenModels
from cluster.state.kinds import with_teachers
from cluster.state.session import Session
from distill.config import RunConfig
from distill.errors import RunError
from distill.protocols import STUDENT

SETTLE_SECONDS = 2.0
"""After a switch until what is reported is all of the new state."""
SCRAPE_SECONDS = 5.0
"""As docker/prometheus/prometheus.yml has it."""
READ_BYTES = 2**16
FRAMES_TIMEOUT = 10.0

MODES = ("off", "metrics", "metrics and page", "metrics, page and a viewer")


@dataclass(frozen=True)
class Throughput:
    """What a run did in one interval, by the clocks of those who did it.

    Attributes:
        updates: learner updates per second.
        steps: steps labelled per second by each collector.
        driver: CPU seconds of the run's own process per second, all its threads together.
    """

    updates: float
    steps: float
    driver: float


def monitored_run(config: RunConfig, rounds: int, seconds: float) -> Iterator[dict[str, Throughput]]:
    """Run a distillation on Ray and yield, for each round, what it did in every mode, each for `seconds`.

    Args:
        config: of the run, which must not end before; its folder is made.
        rounds: how often all modes take their turn.
        seconds: length of one interval.

    Raises:
        DistillError: if the run cannot be made or fails.
    """
    named, teachers = with_teachers(config)
    given = GivenModels.read(teachers, None)
    folder = new_run(named, list(teachers), given.record())
    with opened(folder, named) as surroundings:
        session, workers = prepare(Run(folder, named, given), surroundings)
        with serve_metrics(config.monitoring, session) as metrics:
            steps = surroundings.over(workers.train(), session)
            try:
                while session.updates(STUDENT) == 0:
                    _next(steps)
                for number in range(rounds):
                    # A run slows down as its replay fills: there and back, no mode is always the later one.
                    order = MODES if number % 2 == 0 else MODES[::-1]
                    yield {mode: _interval(mode, session, steps, metrics, seconds) for mode in order}
            finally:
                workers.stop()


def _interval(mode: str, session: Session, steps: Iterator[None], metrics: RunMetrics, seconds: float) -> Throughput:
    with _watched(mode, session.folder.path, metrics.address):
        _turn(steps, SETTLE_SECONDS, None if mode == "off" else metrics)
        before, driver, began = _done(session), time.process_time(), time.monotonic()
        _turn(steps, seconds, None if mode == "off" else metrics)
        after, driver, passed = _done(session), time.process_time() - driver, time.monotonic() - began
    updates, steps_done, learner_seconds, collector_seconds = (b - a for a, b in zip(before, after, strict=True))
    return Throughput(updates / learner_seconds, steps_done / collector_seconds, driver / passed)


def _turn(steps: Iterator[None], seconds: float, metrics: RunMetrics | None) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _next(steps)
        if metrics is not None:
            metrics.update()


def _next(steps: Iterator[None]) -> None:
    if next(steps, False) is False:
        raise RunError("bench: the run ended before it was measured")


def _done(session: Session) -> tuple[float, float, float, float]:
    """Return updates, steps, and the seconds that learner and collectors have worked until then."""
    players = session.players.values()
    return (
        session.updates(STUDENT),
        sum(player.steps for player in players),
        session.learners[STUDENT].train_seconds,
        sum(sum(player.seconds.values()) for player in players),
    )


@contextlib.contextmanager
def _watched(mode: str, folder: Path, address: str) -> Generator[None]:
    """Let Prometheus, a page and a viewer be there, or those of them that the mode has."""
    end = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(end.set)
        if mode != "off":
            threading.Thread(target=_scrape, args=(address, end), daemon=True).start()
        if "page" in mode:
            page = stack.enter_context(dashboard(folder, 0)).split()[-1]
            if "viewer" in mode:
                threading.Thread(target=_view, args=(page, end), daemon=True).start()
        yield


def _scrape(address: str, end: threading.Event) -> None:
    while not end.wait(SCRAPE_SECONDS):
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=SCRAPE_SECONDS) as answer:
            answer.read()


def _view(page: str, end: threading.Event) -> None:
    """Read the frames of all games as a browser does; the page ends the stream when it goes."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{page}live", timeout=FRAMES_TIMEOUT) as frames:
        while not end.is_set() and frames.read1(READ_BYTES):
            pass
