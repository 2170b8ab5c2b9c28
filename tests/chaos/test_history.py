"""The checker finds nothing in a sound history, and every violation that is planted in one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.chaos.history import (
    Checkpoint,
    ChunkId,
    Entered,
    History,
    Kind,
    LearnerHistory,
    Made,
    ProducerHistory,
    Refused,
    Registry,
    StoreLoss,
    check,
)

STEPS = 8


def digest(chunk: ChunkId) -> str:
    return f"digest of {chunk.producer}/{chunk.sequence}"


@st.composite
def sound_histories(draw: st.DrawFn) -> History:
    """A run whose learner dies again and again, and whose stream is trimmed behind what was read."""
    history = History(producers={f"p{n}": ProducerHistory() for n in range(draw(st.integers(1, 3)))})
    stream: list[ChunkId] = []
    clock = trimmed = version = 0
    checkpoint: Checkpoint | None = None
    for _ in range(draw(st.integers(1, 4))):
        for name in draw(st.lists(st.sampled_from(sorted(history.producers)), min_size=1, max_size=8)):
            life = history.producers[name]
            chunk = ChunkId(name, len(life.made))
            clock += 1
            life.made[chunk.sequence] = Made(STEPS, digest(chunk))
            life.acknowledged[chunk.sequence] = clock
            stream.append(chunk)
        clock += 1
        learner = LearnerHistory(clock, None if checkpoint is None else replace(checkpoint, at=clock))
        last = 0 if checkpoint is None else checkpoint.updates
        consumed = {} if checkpoint is None else dict(checkpoint.consumed)
        inserted = 0 if checkpoint is None else checkpoint.inserted
        reads = len(stream) - trimmed
        saves = sorted(draw(st.lists(st.integers(0, reads), max_size=2)) + [reads] * draw(st.booleans()))
        if not saves and not history.learners:
            saves = [reads]
        for read in range(reads + 1):
            for _save in range(saves.count(read)):
                clock, last, version = clock + 1, last + 1, version + 1
                checkpoint = Checkpoint(clock, f"t{clock}", f"w{clock}", last, dict(consumed), inserted, clock)
                learner.saved.append(checkpoint)
                learner.published.append((clock, version, f"v{version}"))
            if read < reads:
                chunk = stream[trimmed + read]
                clock += 1
                learner.entered.append(Entered(clock, chunk, STEPS, digest(chunk)))
                if chunk.sequence > consumed.get(chunk.producer, -1):
                    consumed[chunk.producer] = chunk.sequence
                    inserted += STEPS
        history.learners.append(learner)
        trimmed += draw(st.integers(0, reads))
    history.stored = stream[trimmed:]
    best = draw(st.integers(1, version))
    verdicts = dict.fromkeys(range(1, best + 1), "promoted")
    history.registry = Registry(set(range(1, version + 1)), [*verdicts], (best, f"v{best}"), verdicts, dict(verdicts))
    return history


@given(sound_histories())
def test_a_sound_history_has_no_violations(history: History):
    books, violations = check(history)
    assert violations == []
    assert books.lost == 0
    found = books.trained + books.refused + books.stored + books.trimmed + books.gone_with_redis
    assert found == books.acknowledged == sum(len(life.acknowledged) for life in history.producers.values())


def newest(history: History) -> LearnerHistory:
    """Return the last learner, which has read something and was then saved."""
    learner = history.learners[-1]
    assume(learner.saved and learner.entered and learner.saved[-1].at > learner.entered[-1].at)
    return learner


def lose(history: History) -> None:
    chunk = newest(history).entered[0].chunk
    for learner in history.learners:
        learner.entered = [entered for entered in learner.entered if entered.chunk != chunk]
    history.stored = [stored for stored in history.stored if stored != chunk]


def pass_off(history: History) -> None:
    """A chunk that lies in its stream is counted, and no learner has ever read it."""
    chunk = newest(history).entered[-1].chunk
    lose(history)
    history.stored.append(chunk)
    for learner in history.learners:
        learner.entered = [entered for entered in learner.entered if entered.chunk != chunk]


def count_twice(history: History) -> None:
    learner = newest(history)
    learner.saved[-1] = replace(learner.saved[-1], inserted=learner.saved[-1].inserted + STEPS)


def count_too_little(history: History) -> None:
    learner = newest(history)
    learner.saved[-1] = replace(learner.saved[-1], inserted=learner.saved[-1].inserted - STEPS)


def enter_twice(history: History) -> None:
    newest(history).entered.append(newest(history).entered[-1])


def store_twice(history: History) -> None:
    assume(history.stored)
    history.stored.append(history.stored[-1])


def swap(history: History) -> None:
    entered = newest(history).entered
    places = [n for n, e in enumerate(entered) if e.chunk.producer == entered[0].chunk.producer]
    assume(len(places) > 1)
    first, second = places[:2]
    entered[first], entered[second] = entered[second], entered[first]


def damage(history: History) -> None:
    entered = newest(history).entered
    entered[0] = replace(entered[0], digest="of something else")


def invent(history: History) -> None:
    learner = newest(history)
    learner.entered.append(Entered(learner.began, ChunkId("stranger", 0), STEPS, "of something else"))


def refuse(history: History) -> None:
    newest(history).refused.append(Refused(newest(history).began, newest(history).entered[0].chunk, "damaged"))


def forget_checkpoints(history: History) -> None:
    assume(len(history.learners) > 1 and any(save.updates for save in history.learners[0].saved))
    history.learners[-1].origin = None


def change_weights(history: History) -> None:
    origin = history.learners[-1].origin
    assume(origin is not None)
    assert origin is not None
    history.learners[-1].origin = replace(origin, weights="of something else")


def go_on_beside(history: History) -> None:
    assume(len(history.learners) > 1)
    old = history.learners[-2]
    old.saved.append(
        Checkpoint(history.learners[-1].began + 0.5, "late", "late", 10**6, {}, 0, history.learners[-1].began + 0.6)
    )


def publish_twice(history: History) -> None:
    published = newest(history).published
    published.append(published[-1])


def forget_version(history: History) -> None:
    history.registry.described.pop()


def drop_best(history: History) -> None:
    assert history.registry.best is not None
    history.registry.best = (history.registry.best[0], "")


def miss_a_candidate(history: History) -> None:
    history.registry.missing.append(1)


def promote_twice(history: History) -> None:
    history.registry.promotions.append(history.registry.promotions[-1])


def change_verdict(history: History) -> None:
    history.registry.verdicts[1] = "rejected"


PLANTS: list[tuple[Callable[[History], None], Kind]] = [
    (lose, "lost"), (pass_off, "lost"), (count_twice, "doubled"), (enter_twice, "doubled"), (store_twice, "doubled"),
    (count_too_little, "miscounted"), (swap, "out of order"), (damage, "damaged"), (change_weights, "damaged"),
    (invent, "foreign"), (refuse, "refused"), (forget_checkpoints, "training lost"), (go_on_beside, "usurped"),
    (publish_twice, "version twice"), (forget_version, "version lost"), (drop_best, "version lost"),
    (miss_a_candidate, "version lost"), (promote_twice, "promotion twice"), (change_verdict, "verdict changed"),
]  # fmt: skip


@pytest.mark.parametrize("plant, kind", PLANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_violation_is_found(plant: Callable[[History], None], kind: Kind):
    @settings(max_examples=30, deadline=None)
    @given(sound_histories())
    def planted(history: History) -> None:
        plant(history)
        assert kind in {violation.kind for violation in check(history)[1]}

    planted()


@pytest.mark.parametrize(
    "acknowledged, killed, excused",
    [
        (10.0, None, True),  # long before: nobody has promised to hold it
        (98.0, None, False),  # its producer held it
        (98.0, 101.0, True),  # its producer died before it could push it again
        (98.0, 200.0, False),  # its producer had time
        (101.0, None, False),  # after the loss
    ],
)
def test_what_redis_lost_is_excused_only_where_nobody_promised_it(
    acknowledged: float, killed: float | None, excused: bool
):
    life = ProducerHistory({0: Made(STEPS, "d")}, {0: acknowledged}, killed)
    history = History(producers={"p": life}, store_losses=[StoreLoss(0.0, 100.0)])
    books, violations = check(history)
    assert (books.gone_with_redis, books.lost) == ((1, 0) if excused else (0, 1))
    assert bool(violations) != excused
