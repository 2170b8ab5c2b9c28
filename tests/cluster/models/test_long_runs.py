"""What a run of days costs: thousands of versions make no poll dearer, and no change is taken for another."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from cluster.models.decisions import Decisions
from cluster.models.ledger import Ledger
from cluster.models.mirror import ModelMirror
from cluster.models.record import LineageRecord
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from tests.support.sandbox import until


@pytest.fixture
def client(own_redis: PrivateRedis) -> Iterator[redis.Redis]:
    with connect(own_redis.url) as client:
        yield client


def opened(client: redis.Redis, folder: Path, versions: int = 3) -> Ledger:
    """Return the ledger of a lineage whose versions are all decided on."""
    ledger = Ledger(client, "run", "student", folder)
    for version in range(1, versions + 1):
        ledger.publish(b"%d" % version, {})
        ledger.turn_down(version, "rejected", "")
    return ledger


def settled(ledger: Ledger, folder: Path) -> LineageRecord:
    """Return what a ledger knows once its folder is old enough to tell that nobody has changed it."""
    until(lambda: ModelMirror(folder, "student").state() is not None, "the folder is a moment old")
    return ledger.synchronise()


def read_since(client: redis.Redis, act: Callable[[], object]) -> dict[str, int]:
    """Return how many commands of each kind Redis carries out meanwhile."""

    def calls() -> dict[str, int]:
        counts = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in counts.items()}

    before = calls()
    act()
    found = {name: count - before.get(name, 0) for name, count in calls().items()}
    return {name: count for name, count in found.items() if count and name != "info"}


def test_a_poll_reads_nothing_that_grows(client: redis.Redis, tmp_path: Path) -> None:
    ledger = opened(client, tmp_path)
    known = settled(ledger, tmp_path)
    read = read_since(client, ledger.synchronise)
    assert read == {"get": 2, "hgetall": 1, "smembers": 1}, "revision, newest, names, held"
    assert ledger.synchronise() is known
    assert known.decisions.blocks is known.decisions.blocks


def test_a_publication_does_not_make_others_read_what_was_decided(client: redis.Redis, tmp_path: Path) -> None:
    ledger, learner = opened(client, tmp_path), Ledger(client, "run", "student", tmp_path)
    known = settled(ledger, tmp_path)
    learner.publish(b"4", {})
    after: list[LineageRecord] = []
    read = read_since(client, lambda: after.append(ledger.synchronise()))
    assert read.get("lrange", 0) == 0, "the promotions would have been read"
    assert (after[0].newest, after[0].decisions) == (4, known.decisions)
    learner.turn_down(4, "superseded", "")
    assert ledger.synchronise().decisions.verdicts[4]["verdict"] == "superseded"


def test_what_another_process_writes_into_the_folder_alone_reaches_redis(client: redis.Redis, tmp_path: Path) -> None:
    ledger = opened(client, tmp_path)
    settled(ledger, tmp_path)
    mirror, noted = ModelMirror(tmp_path, "student"), {"3/pong/look/0": [1.0, 2.0]}
    mirror.store_decisions(mirror.decisions().merged(Decisions(scores=noted)))
    assert ledger.synchronise().decisions.scores == noted
    assert Ledger(client, "run", "student", tmp_path / "another").synchronise().decisions.scores == noted


def test_as_many_changes_since_older_data_came_back_are_not_taken_for_the_same(
    client: redis.Redis, tmp_path: Path
) -> None:
    ledger = opened(client, tmp_path)
    saved = {key: client.dump(key) for key in client.scan_iter()}
    ledger.publish(b"4", {})
    ledger.turn_down(4, "rejected", "by the first")
    settled(ledger, tmp_path)
    client.flushall()
    for key, value in saved.items():
        client.restore(key, 0, value)
    other = Ledger(client, "run", "student", tmp_path / "another")
    other.publish(b"four", {})
    other.turn_down(4, "rejected", "by the second")
    verdict = Ledger(client, "run", "student", tmp_path / "third").synchronise().decisions.verdicts[4]
    assert verdict["why"] == "by the second"
    assert ledger.synchronise().decisions.verdicts[4]["why"] == "by the second", "and not what it remembers"


def test_a_revision_of_an_older_version_is_read_and_changed(client: redis.Redis, tmp_path: Path) -> None:
    ledger = opened(client, tmp_path)
    client.set("distill:{run}:revision:student", "17")
    again = Ledger(client, "run", "student", tmp_path)
    first = again.synchronise()
    assert (first.revision, len(first.decisions.verdicts)) == ("17", 3)
    assert again.publish(b"4", {}) == ledger.publish(b"5", {}) - 1 == 4


def test_a_folder_that_was_changed_a_moment_ago_may_change_unseen(tmp_path: Path) -> None:
    mirror = ModelMirror(tmp_path, "student")
    mirror.store(1, b"one", "{}")
    assert mirror.state() is None
    state = until(mirror.state, "it is a moment old")
    assert mirror.state() == state
    mirror.store_names({"latest": 1})
    began = time.monotonic()
    assert until(mirror.state, "it is a moment old again") != state
    assert time.monotonic() - began < 5.0
