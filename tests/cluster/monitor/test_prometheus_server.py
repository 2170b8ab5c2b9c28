"""The shipped configuration in a real Prometheus that scrapes a real endpoint, and what dashboards then find there."""

import json
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.buffer.push import EncodedChunk, Limits, Pusher
from cluster.monitor.metrics.exporter import Exporter
from cluster.monitor.metrics.target import announced
from cluster.redis.connection import connect
from cluster.redis.ownership import running_server
from tests.support import programs
from tests.support.chunk_streams import until
from tests.support.grafana import expressions, filled_in
from tests.support.prometheus_rules import PROMETHEUS, rules
from tests.support.sandbox import Sandbox, new_sandbox, rows

GAMES = ("breakout", "pong")
ROLES = ("collector", "learner", "evaluator")


@dataclass(frozen=True)
class Server:
    """A running Prometheus.

    Attributes:
        url: where it answers.
        targets: folder that it watches for runs.
    """

    url: str
    targets: Path

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def is_ready(self) -> bool:
        """Return whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Prometheus on the shipped configuration, in a hurry."""
    program = programs.require("prometheus")
    folder = tmp_path_factory.mktemp("prometheus") / "config"
    shutil.copytree(PROMETHEUS, folder)
    text = (folder / "prometheus.yml").read_text()
    for slow in ("scrape_interval: 5s", "evaluation_interval: 15s", "refresh_interval: 5s"):
        assert slow in text
        text = text.replace(slow, slow.split(":")[0] + ": 1s")
    (folder / "prometheus.yml").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([program, *settings], stdout=log, stderr=log)
        try:
            found = Server(f"http://127.0.0.1:{port}", folder / "targets")
            until(found.is_ready, "Prometheus answers", seconds=60)
            yield found
        finally:
            child.terminate()
            child.wait(30)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.mark.timeout(300)
def test_every_rule_and_every_panel_has_data_in_a_real_run(server: Server, sandbox: Sandbox):
    wanted = {rule["record"] for rule in rules("recording.yml")}
    wanted |= {filled_in(expression, "run") for name in ("run", "fleet") for expression in expressions(name)}
    options = ("--games", "breakout", "--updates", "1000000", "--eval-every", "50", "--checkpoint-seconds", "1")
    run = sandbox.train("run", *options, "--metrics-targets", str(server.targets))
    run.until(lambda: rows(sandbox.run("run"), "metrics.jsonl"), "the first line of metrics")
    # Without a firing alert the panels that show alerts have nothing to show.
    url = running_server(sandbox.run("run").resolve() / "redis")
    assert url is not None
    with connect(url) as client:
        damaged = EncodedChunk("a" * 16, 0, 16, b"damaged")
        Pusher(client, "run", "breakout", Limits(100_000, 100_000)).push([damaged], {})
    for expression in sorted(wanted):
        run.until(lambda asked=expression: server.query(asked) != [], f"data of {expression}", 120.0)
    (up,) = server.query('up{run="run"}')
    assert up["metric"]["instance"] == "run" and up["value"][1] == "1"
    run.until(
        lambda: float(server.query("distill_learner_updates_total")[0]["value"][1]) > 100, "updates in Prometheus"
    )
    run.until(lambda: server.query('distill_score_ratio{game="breakout"} > 0') != [], "a ratio", 60.0)
    for role in ("collector", "learner", "evaluator"):
        (alive,) = server.query(f'distill_actors_alive{{role="{role}"}}')
        assert alive["value"][1] == "1", role
    run.signal(signal.SIGTERM)
    assert run.wait() == 0, run.output
    assert not list(server.targets.glob("*.json")), "a run that ends takes its address back"


def test_a_run_that_moves_keeps_its_series_and_one_that_ends_goes_without_an_alert(server: Server):
    series = 'distill_learner_updates_total{run="mover"}'
    for _ in range(2):
        with Exporter(GAMES, ROLES) as exporter, announced(server.targets, "mover", exporter.address):
            exporter.set_total("distill_learner_updates_total", 7, "learner")
            until(lambda: [s["value"][1] for s in server.query(series)] == ["7"], "it is scraped")
        until(lambda: server.query('up{run="mover"}') == [], "its target is gone")
    assert len(server.query(f"count_over_time({series}[5m])")) == 1, "one series, though the address changed"
    # It may be pending while the scrape that found nobody is newer than the news that the run has ended.
    until(lambda: server.query('ALERTS{run="mover",alertname="MetricsAbsent"}') == [], "nobody misses it")


def test_a_run_that_is_killed_is_missed(server: Server):
    with Exporter(GAMES, ROLES) as exporter:
        address = exporter.address
        with announced(server.targets, "killed", address) as path:
            until(lambda: server.query('up{run="killed"} == 1') != [], "it is scraped")
            entry = path.read_bytes()
    path.write_bytes(entry)
    until(lambda: server.query('ALERTS{run="killed",alertname="MetricsAbsent"}') != [], "it is missed")
    path.unlink()
