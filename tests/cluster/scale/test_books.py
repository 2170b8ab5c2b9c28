"""The books of a simulated cell: every acknowledged chunk is in exactly one, or it is told."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.scale.books import MOST_NAMED, Books, Taken, balance
from distill.protocols import StoredChunk

STEPS = 4
FATES = ("trained", "trimmed", "stored", "refused", "refused and trimmed")


@dataclass
class World:
    """What three sides have seen."""

    acknowledged: dict[str, int] = field(default_factory=dict[str, int])
    taken: Taken = field(default_factory=Taken)
    streams: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    trimmed: int = 0

    def balance(self, **changes: Any) -> Books:
        said: dict[str, Any] = {"inserted": self.taken.steps, "trimmed_chunks": self.trimmed}
        return balance(self.acknowledged, self.taken, self.streams, **said | changes)


def stored(producer: str, sequence: int) -> StoredChunk:
    return StoredChunk("pong", (sequence + 1) * STEPS, STEPS, producer, sequence, b"")


def world(fates: dict[str, list[str]]) -> World:
    made = World()
    for producer, its in fates.items():
        made.acknowledged[producer] = len(its)
        for sequence, fate in enumerate(its):
            chunk = stored(producer, sequence)
            if fate in ("trained", "trimmed"):
                made.taken.entered(chunk)
            if fate.startswith("refused"):
                made.taken.refused(chunk, "shape")
            if fate in ("trained", "stored", "refused"):
                made.streams.append((producer, sequence))
            else:
                made.trimmed += 1
    return made


fates = st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from(FATES), max_size=12), max_size=3)


@settings(deadline=None)
@given(fates)
def test_every_chunk_is_in_exactly_one_book(its: dict[str, list[str]]):
    books = world(its).balance()
    every = [fate for one in its.values() for fate in one]
    refused = sum(fate.startswith("refused") for fate in every)
    assert books == Books(
        acknowledged=len(every),
        trained=every.count("trained"),
        trimmed=every.count("trimmed"),
        stored=every.count("stored"),
        refused={"shape": refused} if refused else {},
    )
    assert books.balanced


def test_a_chunk_that_is_nowhere_is_named():
    made = world({"a": ["trained", "stored", "stored"]})
    made.streams.remove(("a", 1))
    books = made.balance()
    assert (books.lost, books.stored, books.balanced) == (1, 1, False)
    assert books.wrong == ("1 chunks are acknowledged, and now nowhere: a/1",)


def test_only_some_of_very_many_are_named():
    books = replace(world({}), acknowledged={"a": 1000}).balance()
    assert books.lost == 1000
    assert books.wrong[0].count("a/") == MOST_NAMED
    assert books.wrong[0].endswith("and others")


@pytest.mark.parametrize("where", ["replay", "stream"])
def test_a_chunk_that_is_there_twice_is_named(where: str):
    made = world({"a": ["trained", "trained"]})
    if where == "replay":
        made.taken.entered(stored("a", 1))
    else:
        made.streams.append(("a", 1))
    books = made.balance()
    assert books.doubled == 1
    assert books.wrong == ("1 chunks are twice: a/1",)


def test_what_the_learner_and_redis_count_must_be_what_was_seen():
    made = world({"a": ["trained", "trimmed"]})
    assert "the learner counts 4 transitions, and 8 entered" in made.balance(inserted=4).wrong[0]
    assert "Redis counts 2 chunks as trimmed, and 1 that were read are gone" in made.balance(trimmed_chunks=2).wrong[0]


def test_a_chunk_whose_answer_never_came_is_in_no_book_and_breaks_none():
    made = world({"a": ["trained", "stored"]})
    made.acknowledged["a"] = 1
    assert made.balance() == Books(acknowledged=1, trained=1)
