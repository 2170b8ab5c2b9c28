"""The books of a simulated cell: where every chunk is that the buffer service has acknowledged.

A chunk is known by its producer's id and its sequence number. Three sides say what they saw, independently of each
other: the producers which chunks were acknowledged, the learner which of them entered its replay and which it refused,
and the streams, read at the end, what they hold. Every acknowledged chunk is in exactly one book; the first that fits
takes it:

- refused: the learner said so, with a reason;
- trained: it entered the learner's replay, and its stream still has it;
- trimmed: it entered the learner's replay, and was trimmed from its stream after that;
- stored: it is in its stream, and the learner has not read it yet.

What is in none is lost. A chunk that entered the replay twice, or is in the streams twice, is doubled. What Redis
itself counts as trimmed must be what is missing in the streams.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from distill.protocols import StoredChunk

MOST_NAMED = 5
"""Chunks of each kind that are named."""


@dataclass
class Taken:
    """What the learner has done with the chunks that it read; implements `learner.feed.FeedWitness`.

    Attributes:
        entered_by: sequence numbers of chunks that entered the replay, in order, by producer.
        refused_by: reason by sequence number of chunks that were refused, by producer.
        steps: of all that entered.
    """

    entered_by: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    refused_by: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    steps: int = 0

    def entered(self, stored: StoredChunk) -> None:
        """Note that a chunk has entered the replay."""
        self.entered_by.setdefault(stored.producer_id, []).append(stored.sequence)
        self.steps += stored.steps

    def refused(self, stored: StoredChunk, reason: str) -> None:
        """Note that a chunk was refused."""
        self.refused_by.setdefault(stored.producer_id, {})[stored.sequence] = reason


@dataclass(frozen=True)
class Books:
    """How many of the acknowledged chunks are in which book; see the module.

    Attributes:
        acknowledged: all of them.
        trained: entered the replay, and still in a stream.
        trimmed: entered the replay, and in no stream any more.
        stored: in a stream, unread.
        refused: by reason.
        lost: in no book.
        doubled: twice where they should be once.
        wrong: what does not balance, each as a sentence; only the first few chunks of a kind.
    """

    acknowledged: int = 0
    trained: int = 0
    trimmed: int = 0
    stored: int = 0
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    lost: int = 0
    doubled: int = 0
    wrong: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every chunk is in exactly one book."""
        return not self.wrong


def balance(
    acknowledged: Mapping[str, int],
    taken: Taken,
    streams: Iterable[tuple[str, int]],
    *,
    inserted: int,
    trimmed_chunks: int,
) -> Books:
    """Return the books.

    Args:
        acknowledged: how many chunks of each producer were; they are numbered from 0 without a gap.
        taken: what the learner says.
        streams: producer and sequence number of every chunk in the streams at the end.
        inserted: transitions that the learner itself counts as inserted.
        trimmed_chunks: that Redis itself counts as trimmed.
    """
    in_streams = Counter(streams)
    entered = Counter((producer, n) for producer, numbers in taken.entered_by.items() for n in numbers)
    refused = {(producer, n): why for producer, whys in taken.refused_by.items() for n, why in whys.items()}
    counts, reasons = Counter[str](), Counter[str]()
    lost: list[tuple[str, int]] = []
    for producer, number in acknowledged.items():
        for chunk in ((producer, sequence) for sequence in range(number)):
            if chunk in refused:
                reasons[refused[chunk]] += 1
            elif chunk in entered:
                counts["trained" if chunk in in_streams else "trimmed"] += 1
            elif chunk in in_streams:
                counts["stored"] += 1
            else:
                lost.append(chunk)
    doubled = [chunk for seen in (entered, in_streams) for chunk, times in seen.items() if times > 1]
    wrong = [*_named("acknowledged, and now nowhere", lost), *_named("twice", doubled)]
    if inserted != taken.steps:
        wrong.append(f"the learner counts {inserted:,} transitions, and {taken.steps:,} entered its replay")
    missing = sum(chunk not in in_streams for chunk in {**entered, **refused})
    if missing != trimmed_chunks:
        wrong.append(f"Redis counts {trimmed_chunks:,} chunks as trimmed, and {missing:,} that were read are gone")
    return Books(
        acknowledged=sum(acknowledged.values()),
        trained=counts["trained"],
        trimmed=counts["trimmed"],
        stored=counts["stored"],
        refused=dict(reasons),
        lost=len(lost),
        doubled=len(doubled),
        wrong=tuple(wrong),
    )


def _named(what: str, chunks: list[tuple[str, int]]) -> Iterable[str]:
    if chunks:
        some = ", ".join(f"{producer}/{sequence}" for producer, sequence in islice(chunks, MOST_NAMED))
        yield f"{len(chunks):,} chunks are {what}: {some}{' and others' if len(chunks) > MOST_NAMED else ''}"
