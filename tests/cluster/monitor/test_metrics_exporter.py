"""The metrics endpoint, seen as Prometheus sees it: by scraping it."""

import json
import math
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.monitor.metrics.definitions import COUNTERS, GAUGES, HISTOGRAMS, METRICS
from cluster.monitor.metrics.exporter import Exporter
from cluster.monitor.metrics.target import announced
from distill.errors import RunError
from distill.histograms import Histogram, HistogramTotals

GAMES = ("breakout", "pong")
ROLES = ("collector", "learner")
PUSHED, UPDATES, INFERENCE = "distill_chunks_pushed_total", "distill_learner_updates_total", "distill_inference_seconds"
SampleKey = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter(GAMES, ROLES) as served:
        yield served


def key(name: str, **labels: str) -> SampleKey:
    return name, frozenset(labels.items())


def scrape(exporter: Exporter) -> dict[SampleKey, float]:
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {key(s.name, **s.labels): s.value for family in families for s in family.samples}


def test_every_metric_is_served_with_its_kind_and_help(exporter: Exporter):
    exporter.set("distill_loss", 1.0, game="pong")
    for name in ("distill_score", "distill_best_score"):
        exporter.set(name, 1.0, game="pong", who="student")
    exporter.set("distill_score_ratio", 1.0, game="pong")
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    for metric in METRICS.values():
        assert f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n{metric.name}" in text


def test_counters_and_histograms_begin_at_0_with_all_label_values(exporter: Exporter):
    begin = scrape(exporter)
    for reason in ("damaged", "schema", "unknown_game", "shape", "value"):
        assert begin[key("distill_chunks_rejected_total", reason=reason)] == 0
    for side in ("actor", "feed", "learner"):
        assert begin[key("distill_buffer_wait_seconds_total", side=side)] == 0
    for role in ROLES:
        assert begin[key("distill_actor_restarts_total", role=role)] == 0
    for game in GAMES:
        assert begin[key(PUSHED, game=game)] == 0
        assert begin[key(INFERENCE + "_count", game=game)] == 0
        assert begin[key(INFERENCE + "_bucket", game=game, le="+Inf")] == 0
    assert begin[key(UPDATES)] == 0
    names = {name for name, _ in begin}
    assert {metric.name for metric in COUNTERS} <= names
    assert {metric.name + "_bucket" for metric in HISTOGRAMS} <= names
    assert {metric.name for metric in GAUGES if metric.initial != "absent"} <= names


def test_a_gauge_without_a_true_beginning_has_no_series_before_it_is_set(exporter: Exporter):
    names = {name for name, _ in scrape(exporter)}
    assert not names & {"distill_score", "distill_loss", "distill_score_ratio"}
    exporter.set("distill_score", -21.0, game="pong", who="student")
    after = scrape(exporter)
    assert [labels for name, labels in after if name == "distill_score"] == [
        frozenset({("game", "pong"), ("who", "student")})
    ]
    assert after[key("distill_score", game="pong", who="student")] == -21


def test_timestamps_begin_with_the_start_so_that_no_age_counts_from_1970():
    before = time.time()
    with Exporter(GAMES, ROLES) as exporter:
        began = scrape(exporter)[key("distill_last_evaluation_timestamp_seconds")]
        assert before <= began <= time.time()
        exporter.set("distill_last_evaluation_timestamp_seconds", 5.0)
        assert scrape(exporter)[key("distill_last_evaluation_timestamp_seconds")] == 5


def test_a_counter_adds_up_its_sources_and_their_lives(exporter: Exporter):
    def count() -> float:
        return scrape(exporter)[key(PUSHED, game="pong")]

    exporter.set_total(PUSHED, 10, "pong-0", game="pong")
    exporter.set_total(PUSHED, 5, "pong-1", game="pong")
    assert count() == 15
    exporter.set_total(PUSHED, 12, "pong-0", game="pong")
    exporter.set_total(PUSHED, 12, "pong-0", game="pong")
    assert count() == 17
    exporter.set_total(PUSHED, 3, "pong-0", game="pong")
    assert count() == 20, "a total that drops is that of a new life and counts whole"
    exporter.set_total(PUSHED, 4, "pong-0", game="pong")
    assert count() == 21
    assert scrape(exporter)[key(PUSHED, game="breakout")] == 0


def test_a_new_life_that_has_overtaken_the_old_one_counts_whole_once_the_old_one_is_forgotten(exporter: Exporter):
    exporter.set_total(PUSHED, 3, "pong-0", game="pong")
    exporter.forget("pong-0")
    exporter.set_total(PUSHED, 5, "pong-0", game="pong")
    assert scrape(exporter)[key(PUSHED, game="pong")] == 8


def test_a_learner_that_resumes_from_a_checkpoint_counts_no_update_twice(exporter: Exporter):
    def report(total: float) -> float:
        exporter.set_total(UPDATES, total, "learner", resumed=True)
        return scrape(exporter)[key(UPDATES)]

    assert report(1_000_000) == 0, "made in an earlier sitting"
    assert report(1_000_100) == 100
    assert report(1_000_040) == 100, "the learner died and went on from its checkpoint"
    assert report(1_000_050) == 110


def test_the_first_report_of_a_run_counts_whole_after_a_0(exporter: Exporter):
    exporter.set_total(UPDATES, 0, "learner", resumed=True)
    exporter.set_total(UPDATES, 70, "learner", resumed=True)
    assert scrape(exporter)[key(UPDATES)] == 70


def test_gauges_of_a_source_go_with_it_and_others_stay(exporter: Exporter):
    lag = key("distill_policy_version_lag", game="pong")
    exporter.set("distill_policy_version_lag", 1.0, "pong-0", game="pong")
    exporter.set("distill_policy_version_lag", 4.0, "pong-1", game="pong")
    exporter.set("distill_last_update_timestamp_seconds", 7.0)
    assert scrape(exporter)[lag] == 4, "the largest"
    exporter.forget("pong-1")
    assert scrape(exporter)[lag] == 1
    exporter.forget("pong-0")
    left = scrape(exporter)
    assert lag not in left
    assert left[key("distill_last_update_timestamp_seconds")] == 7


@pytest.mark.parametrize(
    "name, combined", [("distill_replay_transitions", 6.0), ("distill_loss", 3.0), ("distill_score_ratio", 4.0)]
)
def test_several_sources_of_a_gauge_become_one_value(exporter: Exporter, name: str, combined: float):
    exporter.set(name, 2.0, "rank-0", game="pong")
    exporter.set(name, 4.0, "rank-1", game="pong")
    assert scrape(exporter)[key(name, game="pong")] == combined


def test_a_loss_that_is_not_a_number_is_served(exporter: Exporter):
    exporter.set("distill_loss", math.nan, game="pong")
    assert math.isnan(scrape(exporter)[key("distill_loss", game="pong")])


def test_histograms_add_up_sources_and_lives(exporter: Exporter):
    bounds = METRICS[INFERENCE].buckets
    first, second = Histogram(bounds), Histogram(bounds)
    for value in (bounds[0], bounds[1], bounds[-1] + 1):
        first.observe(value)
    exporter.observe(INFERENCE, first.totals, "pong-0", game="pong")
    first.observe(bounds[1])
    exporter.observe(INFERENCE, first.totals, "pong-0", game="pong")
    second.observe(bounds[0])
    exporter.observe(INFERENCE, second.totals, "pong-1", game="pong")
    new_life = Histogram(bounds)
    new_life.observe(bounds[1])
    exporter.observe(INFERENCE, new_life.totals, "pong-0", game="pong")

    found = scrape(exporter)
    values = [bounds[0], bounds[0], bounds[1], bounds[1], bounds[1], bounds[-1] + 1]
    for bound in bounds:
        expected = sum(value <= bound for value in values)
        assert found[key(INFERENCE + "_bucket", game="pong", le=str(bound))] == expected
    assert found[key(INFERENCE + "_bucket", game="pong", le="+Inf")] == len(values)
    assert found[key(INFERENCE + "_count", game="pong")] == len(values)
    assert found[key(INFERENCE + "_sum", game="pong")] == pytest.approx(sum(values))


def test_a_histogram_of_a_forgotten_source_counts_its_next_life_whole(exporter: Exporter):
    buckets = len(METRICS[INFERENCE].buckets) + 1
    exporter.observe(INFERENCE, HistogramTotals((1,) * buckets, 1.0), "pong-0", game="pong")
    exporter.forget("pong-0")
    exporter.observe(INFERENCE, HistogramTotals((2,) * buckets, 3.0), "pong-0", game="pong")
    found = scrape(exporter)
    assert found[key(INFERENCE + "_count", game="pong")] == 3 * buckets
    assert found[key(INFERENCE + "_sum", game="pong")] == 4


@pytest.mark.parametrize(
    "report, message",
    [
        (lambda e: e.set_total("distill_nothing_total", 1, "a"), "expected one of distill_transitions_collected_total"),
        (lambda e: e.set("distill_learner_updates_total", 1), "expected one of distill_buffer_transitions"),
        (lambda e: e.set_total(PUSHED, 1, "a"), r"expected the labels \['game'\], found \[\]"),
        (lambda e: e.set_total(PUSHED, 1, "a", role="learner"), r"found \['role'\]"),
        (lambda e: e.set_total(PUSHED, 1, "a", game="pacman"), "found {'game': 'pacman'}"),
    ],
)
def test_what_is_not_defined_is_refused(exporter: Exporter, report, message: str):
    with pytest.raises(RunError, match=message):
        report(exporter)


def test_a_port_in_use_is_a_clear_error(exporter: Exporter):
    port = int(exporter.address.rpartition(":")[2])
    with pytest.raises(RunError, match=f"listen on 127.0.0.1, port {port}, found: Address already in use; choose ano"):
        Exporter(GAMES, ROLES, port=port)


def test_it_listens_on_loopback_and_frees_its_port_when_closed():
    with Exporter(GAMES, ROLES) as first:
        host, _, port = first.address.rpartition(":")
        assert host == "127.0.0.1"
    with Exporter(GAMES, ROLES, port=int(port)) as second:
        assert scrape(second)


def test_an_ipv6_address_is_written_as_one():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("without IPv6")
    with Exporter(GAMES, ROLES, host="::1") as exporter:
        assert exporter.address.startswith("[::1]:")
        assert scrape(exporter)


def test_scrapes_during_reports_see_counters_that_only_grow(exporter: Exporter):
    stop = threading.Event()

    def report() -> None:
        total = 0
        while not stop.is_set():
            total += 1
            for source in ("pong-0", "pong-1"):
                exporter.set_total(PUSHED, total, source, game="pong")
                exporter.set("distill_policy_version_lag", total % 3, source, game="pong")
            exporter.forget("pong-1" if total % 100 == 0 else "nobody")

    thread = threading.Thread(target=report)
    thread.start()
    try:
        seen = [scrape(exporter)[key(PUSHED, game="pong")] for _ in range(20)]
    finally:
        stop.set()
        thread.join(10)
    assert seen == sorted(seen) and seen[-1] > seen[0]


def test_a_run_announces_its_address_while_it_lives(tmp_path: Path):
    folder = tmp_path / "targets"
    with announced(folder, "demo", "127.0.0.1:9") as path:
        assert json.loads(path.read_text()) == [{"targets": ["127.0.0.1:9"], "labels": {"run": "demo"}}]
        assert [file.name for file in folder.iterdir()] == ["demo.json"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", ["0.0.0.0:9400", "[::]:9400"])
def test_a_run_that_listens_on_all_addresses_announces_its_machine(tmp_path: Path, address: str):
    with announced(tmp_path, "demo", address) as path:
        assert json.loads(path.read_text())[0]["targets"] == [f"{socket.gethostname()}:9400"]
