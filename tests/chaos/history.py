"""Checks what was seen of a run from outside: pure functions from a `History` to its `Books` and `Violation`s.

**Who sees what.** A producer notes every chunk before it is written, with a digest of its columns, and again when
Redis has answered `ok` or `duplicate` to its push: from then on it is *acknowledged*. A learner notes every chunk that
enters its replay, with a digest of what it decoded, every chunk that it refuses, and every checkpoint that it begins
from or saves, with the content of its `consumed` and `inserted` and a digest of all its tensors. Redis is read once, at
the end.

**The surviving line.** A learner that dies takes with it what came after its last checkpoint. What counts is the last
learner up to its last checkpoint, and before it whatever the checkpoint that it began from rests on, and so on back to
the learner that began from nothing. A chunk is *trained* if it entered a replay of this line and the checkpoint's
`consumed` covers it. A learner that has been replaced is nobody's: what it reads or writes after its replacement has
begun counts for nothing.

**The books.** Every acknowledged chunk is in exactly one of them; the first that fits takes it:

- trained;
- refused: a learner said so, with a reason;
- stored: it is in its stream, and no `consumed` passes it off as trained;
- trimmed: it is in no stream, and a learner that was not yet replaced had read it before it died;
- gone with Redis: a fault took Redis' memory, and the chunk is outside of what producers promise to push again: it was
  acknowledged longer than `REMEMBER_SECONDS` before, or its producer died before it could.

What is in none is lost. A chunk that enters a learner's replay twice, or is counted twice in `inserted`, is doubled.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

REMEMBER_SECONDS = 5.0
"""For so long a producer promises to push again what Redis has acknowledged and lost; docs/buffer.md."""
SLACK_SECONDS = 0.5
"""Between an answer and the note that it came, on a busy machine."""
REPUSH_SECONDS = 30.0
"""Within so long after a loss it must have done so."""

Kind = Literal[
    "lost", "doubled", "miscounted", "out of order", "damaged", "foreign", "refused", "training lost", "usurped",
    "version twice", "version lost", "promotion twice", "verdict changed", "stuck", "gave up",
]  # fmt: skip


ProducerKind = Literal["sound", "damaged", "stranger"]


class ChunkId(NamedTuple):
    """A chunk as the feed knows it."""

    producer: str
    sequence: int


@dataclass(frozen=True)
class Made:
    """A chunk as its producer made it."""

    steps: int
    digest: str


@dataclass
class ProducerHistory:
    """One life of a producer.

    Attributes:
        made: by sequence number, before it was written.
        acknowledged: by sequence number, when the answer came.
        killed: when it was killed, None if it was not.
        kind: `sound`; `damaged`, whose chunks must be refused; `stranger`, whose chunks are another run's.
    """

    made: dict[int, Made] = field(default_factory=dict[int, Made])
    acknowledged: dict[int, float] = field(default_factory=dict[int, float])
    killed: float | None = None
    kind: ProducerKind = "sound"


@dataclass(frozen=True)
class Entered:
    """A chunk that entered a replay, as it was decoded."""

    at: float
    chunk: ChunkId
    steps: int
    digest: str


@dataclass(frozen=True)
class Refused:
    """A chunk that a learner refused."""

    at: float
    chunk: ChunkId
    reason: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was handed to the disk, or as it came back.

    Attributes:
        at: when that was begun.
        token: digest of its state, which no other checkpoint shares.
        weights: digest of its tensors.
        updates: that were made.
        consumed: last counted sequence number by producer.
        inserted: counted transitions.
        done: when that had returned; None if it did not, and then the file may be there or not.
    """

    at: float
    token: str
    weights: str
    updates: int
    consumed: Mapping[str, int]
    inserted: int
    done: float | None = None


@dataclass
class LearnerHistory:
    """One life of a learner.

    Attributes:
        began: when it was ready.
        origin: the checkpoint that it began from, None for nothing.
        entered: chunks that entered its replay, in order.
        refused: chunks that it refused.
        saved: checkpoints, in order.
        published: when each publication was begun, the version, and a digest of its bytes.
    """

    began: float
    origin: Checkpoint | None = None
    entered: list[Entered] = field(default_factory=list[Entered])
    refused: list[Refused] = field(default_factory=list[Refused])
    saved: list[Checkpoint] = field(default_factory=list[Checkpoint])
    published: list[tuple[float, int, str]] = field(default_factory=list[tuple[float, int, str]])


@dataclass(frozen=True)
class StoreLoss:
    """A fault took from Redis what it had acknowledged in this span of time."""

    since: float
    at: float


@dataclass
class Registry:
    """The model registry at the end.

    Attributes:
        described: versions whose metadata are there.
        promotions: versions of promotions, oldest first.
        best: the best version and the digest of its bytes, None for no version; the digest is empty if it is gone.
        verdicts: by version.
        seen_verdicts: by version, the first verdict that a coordinator saw.
        missing: versions that somebody was told to play, and whose bytes were gone.
    """

    described: set[int] = field(default_factory=set[int])
    promotions: list[int] = field(default_factory=list[int])
    best: tuple[int, str] | None = None
    verdicts: dict[int, str] = field(default_factory=dict[int, str])
    seen_verdicts: dict[int, str] = field(default_factory=dict[int, str])
    missing: list[int] = field(default_factory=list[int])


@dataclass
class History:
    """All that was seen.

    Attributes:
        producers: by id.
        learners: in the order in which they began.
        stored: entries of the stream at the end, oldest first.
        store_losses: what faults took from Redis.
        spoiled: tokens of checkpoints that faults have damaged or taken.
        registry: at the end.
    """

    producers: dict[str, ProducerHistory] = field(default_factory=dict[str, ProducerHistory])
    learners: list[LearnerHistory] = field(default_factory=list[LearnerHistory])
    stored: list[ChunkId] = field(default_factory=list[ChunkId])
    store_losses: list[StoreLoss] = field(default_factory=list[StoreLoss])
    spoiled: set[str] = field(default_factory=set[str])
    registry: Registry = field(default_factory=Registry)


@dataclass(frozen=True)
class Violation:
    """A promise that was broken."""

    kind: Kind
    what: str


@dataclass(frozen=True)
class Books:
    """Where the acknowledged chunks are; see the module."""

    acknowledged: int = 0
    trained: int = 0
    refused: int = 0
    stored: int = 0
    trimmed: int = 0
    gone_with_redis: int = 0
    lost: int = 0

    def __add__(self, other: "Books") -> "Books":
        return Books(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))


def check(history: History) -> tuple[Books, list[Violation]]:
    """Return the books and all violations."""
    line = surviving_line(history.learners)
    books, lost = _balance(history, line)
    violations = [
        *lost,
        *_doubled(history, line),
        *_out_of_order(history),
        *_unsound(history),
        *_training_lost(history),
        *_usurped(history.learners),
        *_versions(history),
    ]
    return books, violations


def surviving_line(learners: Sequence[LearnerHistory]) -> dict[ChunkId, Entered]:
    """Return what was trained: see the module."""
    trained: dict[ChunkId, Entered] = {}
    saves = {save.token: (learner, save) for learner in learners for save in learner.saved}
    checkpoint = _last_save(learners)
    seen: set[str] = set()
    while checkpoint is not None and checkpoint.token not in seen:
        seen.add(checkpoint.token)
        if checkpoint.token not in saves:
            break
        learner, save = saves[checkpoint.token]
        for entered in learner.entered:
            if entered.chunk.sequence <= save.consumed.get(entered.chunk.producer, -1):
                trained.setdefault(entered.chunk, entered)
        checkpoint = learner.origin
    return trained


def _last_save(learners: Sequence[LearnerHistory]) -> Checkpoint | None:
    for learner in reversed(learners):
        if done := [save for save in learner.saved if save.done is not None]:
            return done[-1]
        if learner.origin is not None:
            return learner.origin
    return None


def _reigns(learners: Sequence[LearnerHistory]) -> Iterator[tuple[LearnerHistory, float]]:
    """Yield every learner with the time at which its replacement had begun."""
    for number, learner in enumerate(learners):
        yield learner, learners[number + 1].began if number + 1 < len(learners) else math.inf


def _balance(history: History, line: Mapping[ChunkId, Entered]) -> tuple[Books, list[Violation]]:
    last = _last_save(history.learners)
    consumed = {} if last is None else last.consumed
    stored = {chunk for chunk in history.stored if chunk.sequence > consumed.get(chunk.producer, -1)}
    read = {
        entered.chunk
        for learner, replaced in _reigns(history.learners)
        for entered in learner.entered
        if entered.at < replaced
    }
    refused = {refused.chunk for learner in history.learners for refused in learner.refused}
    counts: Counter[str] = Counter()
    violations: list[Violation] = []
    in_stream = set(history.stored)
    for producer, life in history.producers.items():
        if life.kind == "stranger":
            continue
        for sequence, at in life.acknowledged.items():
            chunk = ChunkId(producer, sequence)
            counts["acknowledged"] += 1
            if chunk in line:
                counts["trained"] += 1
            elif chunk in refused:
                counts["refused"] += 1
            elif chunk in stored:
                counts["stored"] += 1
            elif chunk not in in_stream and chunk in read:
                counts["trimmed"] += 1
            elif chunk not in in_stream and _gone_with_redis(at, life.killed, history.store_losses):
                counts["gone_with_redis"] += 1
            else:
                counts["lost"] += 1
                where = "in its stream, and passed off as trained" if chunk in in_stream else "nowhere"
                violations.append(Violation("lost", f"{producer}/{sequence}: acknowledged, and now {where}"))
    return Books(**counts), violations


def _gone_with_redis(acknowledged: float, killed: float | None, losses: Sequence[StoreLoss]) -> bool:
    for loss in losses:
        taken = loss.since - SLACK_SECONDS <= acknowledged <= loss.at + SLACK_SECONDS
        remembered = acknowledged > loss.at - REMEMBER_SECONDS + SLACK_SECONDS
        silenced = killed is not None and killed < loss.at + REPUSH_SECONDS
        if taken and (silenced or not remembered):
            return True
    return False


def _doubled(history: History, line: Mapping[ChunkId, Entered]) -> Iterator[Violation]:
    for number, learner in enumerate(history.learners):
        for chunk, times in Counter(entered.chunk for entered in learner.entered).items():
            if times > 1:
                yield Violation("doubled", f"{_name(chunk)}: entered the replay of learner {number} {times} times")
    for chunk, times in Counter(history.stored).items():
        if times > 1:
            yield Violation("doubled", f"{_name(chunk)}: {times} times in its stream")
    last = _last_save(history.learners)
    if last is not None:
        steps = sum(entered.steps for entered in line.values())
        if steps != last.inserted:
            yield Violation(
                "doubled" if last.inserted > steps else "miscounted",
                f"the last checkpoint counts {last.inserted} transitions, and {steps} were trained",
            )


def _out_of_order(history: History) -> Iterator[Violation]:
    orders = {f"learner {n}": [e.chunk for e in learner.entered] for n, learner in enumerate(history.learners)}
    for where, chunks in {**orders, "the stream": history.stored}.items():
        newest: dict[str, int] = {}
        for chunk in chunks:
            if chunk.sequence < newest.get(chunk.producer, -1):
                yield Violation("out of order", f"{_name(chunk)}: after {newest[chunk.producer]} in {where}")
            newest[chunk.producer] = max(chunk.sequence, newest.get(chunk.producer, -1))


def _unsound(history: History) -> Iterator[Violation]:
    """Find what was trained and should not have been, and what was refused and should not have been."""
    for number, learner in enumerate(history.learners):
        for entered in learner.entered:
            producer = history.producers.get(entered.chunk.producer)
            made = None if producer is None else producer.made.get(entered.chunk.sequence)
            where = f"{_name(entered.chunk)}: entered the replay of learner {number}"
            if producer is None or made is None or producer.kind == "stranger":
                yield Violation("foreign", f"{where}, and no producer of this run has made it")
            elif producer.kind == "damaged" or made.digest != entered.digest:
                yield Violation("damaged", f"{where}, and is not what its producer made")
        for refused in learner.refused:
            producer = history.producers.get(refused.chunk.producer)
            if producer is not None and producer.kind == "sound":
                yield Violation("refused", f"{_name(refused.chunk)}: refused ({refused.reason}), and it was sound")


def _training_lost(history: History) -> Iterator[Violation]:
    """Find learners that began from less than their predecessors had saved."""
    saves: list[Checkpoint] = []
    for number, (learner, replaced) in enumerate(_reigns(history.learners)):
        origin = learner.origin
        known = {save.token: save for save in saves}
        if origin is not None and origin.token in known and known[origin.token].weights != origin.weights:
            yield Violation(
                "damaged", f"learner {number}: began from {origin.updates} updates whose tensors are changed"
            )
        newest = max((s.updates for s in saves if s.token not in history.spoiled), default=0)
        found = 0 if origin is None else origin.updates
        if found < newest:
            yield Violation("training lost", f"learner {number}: began at update {found}, and {newest} were saved")
        saves += [save for save in learner.saved if save.done is not None and save.done < replaced]


def _usurped(learners: Sequence[LearnerHistory]) -> Iterator[Violation]:
    for number, (learner, replaced) in enumerate(_reigns(learners)):
        # What was begun before, and so was allowed, may end after: a process can be stopped in between.
        saved = sum(save.done is not None and save.at > replaced for save in learner.saved)
        published = sum(at > replaced for at, _, _ in learner.published)
        if saved or published:
            yield Violation(
                "usurped",
                f"learner {number}: saved {saved} checkpoints and published {published} versions after its replacement",
            )


def _versions(history: History) -> Iterator[Violation]:
    registry = history.registry
    published = [(version, digest) for learner in history.learners for _, version, digest in learner.published]
    for version, times in Counter(version for version, _ in published).items():
        if times > 1:
            yield Violation("version twice", f"version {version}: published {times} times")
    for version in sorted({version for version, _ in published} - registry.described):
        yield Violation("version lost", f"version {version}: published, and the registry does not know it")
    for version in registry.missing:
        yield Violation("version lost", f"version {version}: to be played, and its weights are gone")
    if registry.best is not None:
        version, digest = registry.best
        if not digest:
            yield Violation("version lost", f"version {version}: the best one, and its weights are gone")
        elif digest != dict(published).get(version, digest):
            yield Violation("damaged", f"version {version}: its weights are not those that were published")
    for version, times in Counter(registry.promotions).items():
        if times > 1:
            yield Violation("promotion twice", f"version {version}: promoted {times} times")
    for version, verdict in registry.seen_verdicts.items():
        if registry.verdicts.get(version) != verdict:
            now = registry.verdicts.get(version)
            yield Violation("verdict changed", f"version {version}: was {verdict}, and is {now or 'undecided'} now")


def _name(chunk: ChunkId) -> str:
    return f"{chunk.producer}/{chunk.sequence}"
