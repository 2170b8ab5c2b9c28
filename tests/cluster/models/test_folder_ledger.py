"""The ledger in the folder alone: what it answers and decides is what the one in Redis does, also after a crash."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.models.coordinator import Coordinator, Orders
from cluster.models.decisions import Promotion
from cluster.models.folder_ledger import FolderLedger
from cluster.models.lineage import Lineage
from cluster.redis.private_server import PrivateRedis
from cluster.services import FolderServices, RedisServices
from distill.errors import RunError
from distill.promotion import Rule
from distill.protocols import ModelRegistry
from tests.cluster.models.test_coordinator import MEANS, play

STUDENT = Lineage("student", ("pong",), "student", ("best", "production"))
RULE = Rule("ratio", 4, 4, 0)


def coordinate(services: RedisServices | FolderServices, until: int = len(MEANS)) -> list[Orders]:
    """Publish versions one after the other, up to `until`, and play what the coordinator asks for."""
    registry = services.registry("student")
    coordinator = Coordinator((STUDENT,), services, RULE, 1, clock=lambda: 1.0)
    told: list[Orders] = []
    while (registry.resolve("latest") or 0) < until:
        registry.publish(b"%d" % (registry.resolve("latest") or 0), {"seconds": 1.0})
        told.append(coordinator.advance([]))
        while told[-1].tasks:
            told.append(coordinator.advance([play(told[-1].tasks[0])]))
    return told


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "models" / "student").iterdir() if path.name[0] != "."}


def test_a_coordinator_decides_the_same_on_it_as_on_redis(
    one_redis_server: PrivateRedis, run_name: str, tmp_path: Path
):
    address = BufferAddress(one_redis_server.url, run_name, ("pong",), Limits(1_000, 1_000))
    redis = coordinate(RedisServices(address, tmp_path / "redis"))
    folder = coordinate(FolderServices(tmp_path, ("pong",), tmp_path / "folder"))
    assert folder == redis
    assert folder[-1].lineages[0].best == 5
    assert files(tmp_path / "folder") == files(tmp_path / "redis")


def test_it_is_a_registry(tmp_path: Path):
    ledger = FolderLedger(tmp_path, "student")
    registry: ModelRegistry = ledger
    assert registry.resolve("latest") is None
    for version in range(1, 21):
        assert registry.publish(b"%d" % version, {"updates": version, "seconds": float(version)}) == version
        ledger.turn_down(version, "rejected", "worse")
        if version == 2:
            registry.assign("best", 2)
    assert (registry.fetch(2), registry.fetch(20), registry.describe(20)["updates"]) == (b"2", b"20", 20)
    assert (registry.resolve("latest"), registry.resolve("best")) == (20, 2)
    assert FolderLedger(tmp_path, "student").publish(b"21", {}) == 21
    assert not ledger.has(3), "only the newest and the named are kept"
    for action in (registry.fetch, lambda version: registry.assign("best", version)):
        with pytest.raises(RunError, match="expected the weights of version 3, found none"):
            action(3)
    with pytest.raises(RunError, match=r"99\.json"):
        registry.describe(99)


def test_a_verdict_is_given_once_and_can_be_rolled_back(tmp_path: Path):
    ledger = FolderLedger(tmp_path, "student")
    for version in (1, 2):
        ledger.publish(b"", {"seconds": 1.0})
        promotion = Promotion(version, None, ("best", "production"), {}, float(version), "better")
        assert ledger.promote(promotion) and not ledger.promote(promotion)
        assert not ledger.turn_down(version, "rejected", "worse")
    assert ledger.resolve("production") == 2
    ledger.roll_back(Promotion(1, 2, ("production",), {}, 3.0, "a user", "roll-back"))
    assert (ledger.resolve("production"), ledger.resolve("best")) == (1, 2)
    assert [row["kind"] for row in json.loads(files(tmp_path)["ledger.json"])["promotions"]][-1] == "roll-back"


def crash(folder: Path, before: dict[str, bytes], lost: tuple[str, ...]) -> None:
    """Undo the writes of some files, as if their process had been killed before them."""
    for name in lost:
        path = folder / "models" / "student" / name
        if name in before:
            path.write_bytes(before[name])
        else:
            path.unlink()


@pytest.mark.parametrize("lost", [("names.json",), ("names.json", "ledger.json"), ("names.json", "3.json")])
def test_what_a_killed_process_had_not_written_follows(tmp_path: Path, lost: tuple[str, ...]):
    """Files are lost from the last written backwards: a promotion's names, its decision, a version's metadata."""
    services: Callable[[str], FolderServices] = lambda name: FolderServices(tmp_path, ("pong",), tmp_path / name)  # noqa: E731
    whole = coordinate(services("whole"))[-1].lineages
    coordinate(services("killed"), until=2)
    before = files(tmp_path / "killed")
    if "3.json" in lost:
        services("killed").registry("student").publish(b"2", {"seconds": 1.0})
    else:
        coordinate(services("killed"), until=3)
    crash(tmp_path / "killed", before, lost)
    coordinator = Coordinator((STUDENT,), services("killed"), RULE, 1, clock=lambda: 1.0)
    orders = coordinator.advance([])
    while orders.tasks:
        orders = coordinator.advance([play(orders.tasks[0])])
    assert coordinate(services("killed"))[-1].lineages == whole
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole")
