"""Takes one mend out of the product, in the processes of a small run, to show that the checker notices.

Whatever the checker does not miss, nobody would: each mend here is tried under the step that it is for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cluster.buffer.writer
import distill.chunks
import learner.checkpoint_file
import learner.checkpoints
from cluster.buffer.reader import RedisChunkReader
from cluster.redis.holder import Holder
from distill.chunks import ChunkDecoder
from learner.checkpoint_index import MANIFEST
from learner.feed import Feed, FeedState
from tests.chaos.history import Kind
from tests.chaos.step import KNOWN, Span, Step


@dataclass(frozen=True)
class Mutation:
    """A mend that can be taken out.

    Attributes:
        what: is taken out.
        steps: under which that must be noticed.
        kind: of the violation.
        apply: takes it out of this process.
    """

    what: str
    steps: tuple[Step, ...]
    kind: Kind
    apply: Callable[[], None]


MUTATIONS: dict[str, Mutation] = {}


def apply_mutation(name: str) -> None:
    """Take a mend out of this process."""
    MUTATIONS[name].apply()


def _mutation(name: str, what: str, kind: Kind, *steps: Step) -> Callable[[Callable[[], None]], None]:
    def add(apply: Callable[[], None]) -> None:
        MUTATIONS[name] = Mutation(what, steps, kind, apply)

    return add


@_mutation("no fence", "who is replaced is told apart from its replacement", "usurped", KNOWN["two learners"])
def _no_fence() -> None:
    # A property stands in for the field: every process has the same number.
    Holder.incarnation = property(lambda holder: 0, lambda holder, value: None)  # type: ignore[assignment]


@_mutation("no debts", "a commit that Redis has refused is tried again", "stuck", KNOWN["refused commits"])
def _no_debts() -> None:
    commit = RedisChunkReader.commit

    def once(reader: RedisChunkReader) -> None:
        reached = [stream.reached for stream in reader._all()]
        if reached != getattr(reader, "_tried", None):
            reader._tried = reached  # type: ignore[attr-defined]
            commit(reader)

    RedisChunkReader.commit = once


@_mutation("any run", "chunks of another run are refused", "foreign", KNOWN["another run of this name"])
def _any_run() -> None:
    begin = ChunkDecoder.__init__

    def anybody(decoder: ChunkDecoder, games: dict[str, int] | None = None, run_id: str | None = None) -> None:
        begin(decoder, games)

    ChunkDecoder.__init__ = anybody


@_mutation(
    "manifest alone",
    "checkpoints that the manifest does not name are found",
    "training lost",
    KNOWN["manifest removed"],
)
def _manifest_alone() -> None:
    read_index = learner.checkpoints.read_index
    learner.checkpoints.read_index = lambda directory: (
        read_index(directory) if (directory / MANIFEST).exists() else learner.checkpoints.CheckpointIndex(0, ())
    )


@_mutation("no checksum of checkpoints", "a checkpoint's bytes are verified", "damaged", KNOWN["checkpoint damaged"])
def _no_checkpoint_checksum() -> None:
    blank = learner.checkpoint_file._BLANK
    learner.checkpoint_file._checksum = lambda data, at: blank


@_mutation("no checksum of chunks", "a chunk's bytes are verified", "damaged", (Span("push damaged chunks", 4.0),))
def _no_chunk_checksum() -> None:
    distill.chunks._checksum = lambda body: bytes(distill.chunks.CHECKSUM_BYTES)


@_mutation(
    "no memory",
    "producers push again what Redis has lost",
    "lost",
    (Span("stop learner", 6.0), Span("restart redis with older data", 0.5, 0.1)),
)
def _no_memory() -> None:
    cluster.buffer.writer.REMEMBER_SECONDS = 0.0


@_mutation(
    "refills count", "what a checkpoint has counted is not counted again", "doubled", (Span("kill learner", 0.5),)
)
def _refills_count() -> None:
    begin = Feed.__init__

    def forgetful(feed: Feed, *args: Any, **options: Any) -> None:
        begin(feed, *args, **options)
        feed._consumed = dict(FeedState().consumed)

    Feed.__init__ = forgetful
