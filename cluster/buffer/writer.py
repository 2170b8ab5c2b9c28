"""The producer's side: a bounded backlog, pushed as far as the server takes it, and a memory of what it took last.

A server that is killed can forget its newest writes, though it has acknowledged them. The writer therefore keeps what
was acknowledged within the last seconds. By the sequence numbers the server notices that chunks are missing, and they
are pushed again.
"""

import logging
import random
import time
from collections import deque
from dataclasses import dataclass

import redis

from cluster.buffer.push import Answer, EncodedChunk, Limits, Pusher
from cluster.redis.connection import describe, reaching
from distill.chunks import Chunk, ChunkEncoder
from distill.errors import BufferUnavailable, ChunkError
from distill.protocols import WriterCounters

log = logging.getLogger(__name__)

BACKLOG_CHUNKS = 64
FLUSH_BYTES = 2**20
REMEMBER_SECONDS = 5.0
REMEMBER_BYTES = 64 * 2**20
FIRST_DELAY = 0.02
LONGEST_DELAY = {"full": 0.25, "outage": 2.0}


def retry_delay(kind: str, failures: int) -> float:
    """Return seconds until the next attempt: random ones, which grow with every failure.

    Args:
        kind: `full` or `outage`.
        failures: before this one, without a success between.
    """
    return min(LONGEST_DELAY[kind], FIRST_DELAY * 2 ** min(failures, 16)) * random.uniform(0.5, 1.0)


@dataclass(eq=False)
class _Held:
    """A chunk in the backlog or in the memory.

    Attributes:
        chunk: the chunk.
        unanswered: it was sent, and no answer came: the server may have it.
        acknowledged: when the server took it, by the monotonic clock; None before.
    """

    chunk: EncodedChunk
    unanswered: bool = False
    acknowledged: float | None = None


class RedisChunkWriter:
    """Implements `distill.protocols.ChunkWriter` for one stream of a run; belongs to one thread.

    Whatever keeps the server from taking chunks never leaves it: a connection that fails, or an answer that refuses, is
    counted as an outage. The text of the last one is in `trouble`.

    Args:
        client: the connection; the writer closes it. Its timeout bounds how long one attempt can take.
        run: name of the run.
        game: the game whose chunks are written.
        limits: of the buffer service for this game.
        shard: number of the stream among those of the game.
        backlog_chunks: chunks held while the server is full or away.
    """

    def __init__(
        self,
        client: redis.Redis,
        run: str,
        game: str,
        limits: Limits,
        *,
        shard: int = 0,
        backlog_chunks: int = BACKLOG_CHUNKS,
    ) -> None:
        self._client = client
        self._game = game
        self._pusher = Pusher(client, run, game, limits, shard)
        self._encoder = ChunkEncoder()
        self._bound = backlog_chunks
        self._backlog: deque[_Held] = deque()
        self._memory: deque[_Held] = deque()
        self._memory_bytes = 0
        self._accepted_gaps: dict[str, int] = {}
        self._counters = WriterCounters()
        self._failures = 0
        self._next_attempt = 0.0
        self._away = False
        self.trouble: str | None = None
        """Why the last attempt failed, or None if it did not."""

    @property
    def counters(self) -> WriterCounters:
        """What was done so far."""
        return self._counters

    def write(self, chunk: Chunk) -> None:
        """Queue a chunk and push what the server takes now.

        Raises:
            ChunkError: if the chunk is not valid or of another game.
            BufferUnavailable: if the backlog has no room, for which `wait` should have been called; nothing is queued.
        """
        header = chunk.header
        if header.game != self._game:
            raise ChunkError("unknown_game", f"writer of {self._game}: found a chunk of {header.game}")
        if not self._has_room():
            raise BufferUnavailable(
                f"buffer service at {describe(self._client)}: {len(self._backlog)} chunks of {self._game} are waiting,"
                f" at most {self._bound} may; call wait() before write(). Last trouble: {self.trouble or 'none'}"
            )
        data = self._encoder.encode(chunk)
        self._backlog.append(_Held(EncodedChunk(header.producer_id, header.sequence, header.steps, data)))
        self._attempt()

    def wait(self, timeout: float) -> bool:
        """Push until the backlog has room; return whether it has.

        Args:
            timeout: seconds; an attempt that has begun may exceed it by the connection's timeout.
        """
        started = time.monotonic()
        if not self._has_room():
            self._attempt()
        while not self._has_room() and self._sleep_until_next_attempt(started + timeout):
            self._attempt()
        self._counters.wait_seconds += time.monotonic() - started
        return self._has_room()

    def flush(self, timeout: float) -> int:
        """Push the whole backlog, and again what the server has lost of late; return the number of chunks left.

        Args:
            timeout: seconds; an attempt that has begun may exceed it by the connection's timeout.
        """
        deadline = time.monotonic() + timeout
        self._next_attempt = 0.0
        self._attempt()
        while (self._backlog or not self._verify()) and self._sleep_until_next_attempt(deadline):
            self._attempt()
        return len(self._backlog)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _has_room(self) -> bool:
        return len(self._backlog) < self._bound

    def _sleep_until_next_attempt(self, deadline: float) -> bool:
        """Sleep until the next attempt is due; return False once the deadline comes first."""
        now = time.monotonic()
        if max(now, self._next_attempt) > deadline:
            time.sleep(max(0.0, deadline - now))
            return False
        time.sleep(max(0.0, self._next_attempt - now))
        return True

    def _attempt(self) -> None:
        """Push until the backlog is empty, or the server full or away; then a back-off sets the next attempt."""
        while self._backlog and time.monotonic() >= self._next_attempt:
            try:
                with reaching(self._client, "push chunks"):
                    full = self._push_batch()
            except BufferUnavailable as error:
                self._note_outage(error)
                continue
            self._away = False
            if full is None:
                self._failures, self._next_attempt, self.trouble = 0, 0.0, None
            else:
                self._counters.full += 1
                self._back_off("full", f"the server is full: {full.number} transitions of {self._game} are unread")

    def _note_outage(self, error: BufferUnavailable) -> None:
        if not self._away:
            log.warning("%s; chunks of %s are held meanwhile", error, self._game)
        self._away = True
        self._counters.outages += 1
        self._back_off("outage", str(error))

    def _back_off(self, kind: str, trouble: str) -> None:
        self.trouble = trouble
        self._next_attempt = time.monotonic() + retry_delay(kind, self._failures)
        self._failures += 1

    def _push_batch(self) -> Answer | None:
        """Push the oldest chunks of the backlog in one round trip; return the answer `full` if that was one."""
        batch: list[_Held] = []
        size = 0
        while self._backlog and (not batch or size + len(self._backlog[0].chunk.data) <= FLUSH_BYTES):
            batch.append(self._backlog.popleft())
            size += len(batch[-1].chunk.data)
        try:
            answers = self._pusher.push([held.chunk for held in batch], self._accepted_gaps)
        except BaseException:
            for held in batch:
                held.unanswered = True
            self._backlog.extendleft(reversed(batch))
            raise
        refused: dict[str, Answer] = {}
        left: list[_Held] = []
        for held, answer in zip(batch, answers, strict=True):
            if answer.status in ("ok", "duplicate"):
                self._accepted(held, answer)
            else:
                # What follows a refused chunk of its producer is refused as a gap, which says nothing new.
                refused.setdefault(held.chunk.producer_id, answer)
                left.append(held)
        self._backlog.extendleft(reversed(left))
        for producer_id, answer in refused.items():
            if answer.status == "gap":
                self._refill(producer_id, answer.number)
        return next((answer for answer in refused.values() if answer.status == "full"), None)

    def _accepted(self, held: _Held, answer: Answer) -> None:
        chunk, counters = held.chunk, self._counters
        self._accepted_gaps.pop(chunk.producer_id, None)
        if answer.status == "ok":
            counters.lost += answer.number
        if held.acknowledged is not None:
            counters.repushed += 1
        elif answer.status == "ok" or held.unanswered:
            counters.chunks += 1
            counters.transitions += chunk.steps
            counters.bytes += len(chunk.data)
        else:
            # It was never sent, yet the server says that it has it: somebody else has written that there.
            counters.lost += 1
        held.acknowledged = time.monotonic()
        self._memory.append(held)
        self._memory_bytes += len(chunk.data)
        # Age counts from the newest acknowledgement, not from now: during an outage nothing more is lost.
        oldest = held.acknowledged - REMEMBER_SECONDS
        while self._memory_bytes > REMEMBER_BYTES or (self._memory[0].acknowledged or 0.0) < oldest:
            self._memory_bytes -= len(self._memory.popleft().chunk.data)

    def _refill(self, producer_id: str, last: int) -> None:
        """Put what the server has lost of a producer back in front of the backlog, and accept the gap that is left."""
        memory, self._memory = self._memory, deque[_Held]()
        lost: list[_Held] = []
        for held in memory:
            (lost if held.chunk.producer_id == producer_id and held.chunk.sequence > last else self._memory).append(
                held
            )
        self._memory_bytes = sum(len(held.chunk.data) for held in self._memory)
        self._backlog.extendleft(reversed(lost))
        first = next(held.chunk.sequence for held in self._backlog if held.chunk.producer_id == producer_id)
        if first > last + 1:
            self._accepted_gaps[producer_id] = last

    def _verify(self) -> bool:
        """Ask the server whether it still has what it acknowledged of late; put what it has lost into the backlog."""
        newest: dict[str, int] = {}
        for held in self._memory:
            newest[held.chunk.producer_id] = max(held.chunk.sequence, newest.get(held.chunk.producer_id, -1))
        try:
            with reaching(self._client, "ask what it has"):
                found = self._pusher.last_sequences(list(newest))
        except BufferUnavailable as error:
            self._note_outage(error)
            return False
        missing = {
            producer_id: last for (producer_id, held), last in zip(newest.items(), found, strict=True) if last < held
        }
        for producer_id, last in missing.items():
            self._refill(producer_id, last)
        return not missing
