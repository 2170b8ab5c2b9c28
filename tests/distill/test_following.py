"""A follower hands out each version once, goes on with what it has meanwhile, and says what went wrong."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.errors import BufferUnavailable, ModelFileError
from distill.following import ModelFollower
from distill.model_card import ModelCard
from distill.models import model_bytes
from distill.networks import QNetwork

ARCHITECTURE = ARCHITECTURES["one_percent"]


def model(seed: int) -> bytes:
    torch.manual_seed(seed)
    network = QNetwork(ARCHITECTURE, {"pong": 6})
    return model_bytes(network, ModelCard("teacher", ARCHITECTURE, {"pong": 6}))


@dataclass
class Shelf:
    """A registry in memory, whose fetches can be held up."""

    versions: list[bytes] = field(default_factory=list)
    away: bool = False
    open: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        self.versions.append(data)
        return len(self.versions)

    def resolve(self, name: str) -> int | None:
        if self.away:
            raise BufferUnavailable("away")
        return len(self.versions) or None

    def fetch(self, version: int) -> bytes:
        self.asked.set()
        assert self.open.wait(30.0)
        return self.versions[version - 1]

    def describe(self, version: int) -> dict[str, Any]:
        return {}

    def assign(self, name: str, version: int) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.following.POLL_SECONDS", 0.01)


def weight(network: QNetwork) -> float:
    return float(network.conv1.weight.detach().sum())


def test_each_version_is_handed_out_once_and_never_waited_for():
    shelf = Shelf([model(1)])
    follower = ModelFollower(shelf, "latest", weight)
    first = follower.wait(30.0)
    assert first.version == follower.version == 1
    assert follower.poll() is None
    shelf.asked.clear()
    shelf.open.clear()
    shelf.publish(model(2), {})
    assert shelf.asked.wait(30.0), "it fetches in its own thread"
    assert follower.poll() is None, "and its user goes on meanwhile"
    assert (follower.version, follower.newest) == (1, 2)
    shelf.open.set()
    second = follower.wait(30.0)
    assert second.version == 2
    assert second.model != first.model
    follower.close()


def test_a_registry_that_is_away_or_empty_is_asked_again():
    shelf = Shelf(away=True)
    follower = ModelFollower(shelf, "best", weight)
    with pytest.raises(BufferUnavailable, match="had none for"):
        follower.wait(0.05)
    shelf.away = False
    shelf.publish(model(1), {})
    assert follower.wait(30.0).version == 1
    follower.close()


def test_a_damaged_model_reaches_its_user():
    follower = ModelFollower(Shelf([b"nothing"]), "best", weight)
    with pytest.raises(ModelFileError):
        follower.wait(30.0)
    with pytest.raises(ModelFileError):
        follower.poll()
