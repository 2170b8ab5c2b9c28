"""Carries chunks from the buffer service into the replay: reads, checks, unpacks, writes, counts what it refuses."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from distill.chunks import REJECTION_REASONS, ChunkDecoder
from distill.errors import BufferUnavailable, ChunkError, ReplacedError
from distill.protocols import ChunkReader, StoredChunk
from learner.limiter import LimiterState, SampleToInsertLimiter
from learner.replay import GameReplay

log = logging.getLogger(__name__)

CHUNKS_PER_READ = 8
IDLE_SECONDS = 0.05
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
"""After failed attempts to reach the buffer service."""


@dataclass(frozen=True)
class FeedState:
    """How far the feed has come.

    Attributes:
        consumed: last counted sequence number by producer id.
        inserted: transitions inserted per game since the run began.
        limiter: state of the limiter.
    """

    consumed: dict[str, int] = field(default_factory=dict[str, int])
    inserted: dict[str, int] = field(default_factory=dict[str, int])
    limiter: LimiterState = field(default_factory=LimiterState)


class FeedWitness(Protocol):
    """Is told by the feed's thread what becomes of every chunk that it reads."""

    def entered(self, stored: StoredChunk) -> None:
        """Note that a chunk has entered the replay."""
        ...

    def refused(self, stored: StoredChunk, reason: str) -> None:
        """Note that a chunk was refused, for one of `REJECTION_REASONS`."""
        ...


class Feed:
    """Fills the replays of all games in turn, as far as the limiter allows.

    A chunk is known by (producer_id, sequence). One that this process has already seen is dropped as a duplicate. One
    that a checkpoint has already counted refills the replay and is not counted as inserted again.

    Args:
        reader: the buffer service.
        replays: one replay a game.
        actions: A of every game.
        limiter: who may go on.
        state: how far the checkpoint that the run goes on from had come.
        run_id: of the run whose chunks are taken; None takes those of any.
        least: transitions of every game without which the learner makes no update. Below it the limiter does not count:
            a learner that is a window behind and has no data would otherwise wait for its feed, and that for it.
    """

    def __init__(
        self,
        reader: ChunkReader,
        replays: Mapping[str, GameReplay[Any]],
        actions: Mapping[str, int],
        limiter: SampleToInsertLimiter,
        state: FeedState | None = None,
        *,
        run_id: str | None = None,
        least: int = 0,
    ) -> None:
        self._reader = reader
        self._least = least
        self._replays = replays
        self._limiter = limiter
        self._decoder = ChunkDecoder(dict(actions), run_id)
        self._seen: dict[str, int] = {}
        state = state or FeedState()
        self._consumed = dict(state.consumed)
        self.inserted = Counter[str](dict.fromkeys(replays, 0) | state.inserted)
        self.rejected = Counter[str](dict.fromkeys(REJECTION_REASONS, 0))
        self.least_version: dict[str, int] = {}
        """Per game, the oldest teacher version whose labels are still wanted; older chunks are dropped."""
        self.stale = 0
        """Transitions dropped for that."""
        self.duplicates = 0
        self.refilled = 0
        self.outages = 0
        self.last_rejection = ""
        self.witness: FeedWitness | None = None
        """Whoever keeps books of the chunks; set before there are any."""
        self._pause = FIRST_PAUSE_SECONDS
        self._try_at = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def poll(self) -> int:
        """Take the next few chunks of every game into the replay, of the game that got least first.

        What was taken is committed. A commit that fails is owed: every later call pays it, also one that finds nothing.

        Returns:
            The number of chunks read.

        Raises:
            BufferUnavailable: if nothing was read, and a server was out of reach or took no commit.
        """
        taken = 0
        trouble: BufferUnavailable | None = None
        # The limiter may stop a round half way: a fixed order would starve the games at its end.
        for game in sorted(self._replays, key=lambda game: self.inserted[game]):
            if not self._may_insert(game):
                continue
            try:
                found = self._reader.read(game, CHUNKS_PER_READ)
            except BufferUnavailable as error:
                trouble = error
                continue
            for stored in found:
                self._take(stored, self._replays[game])
            taken += len(found)
        try:
            self._reader.commit()
        except BufferUnavailable as error:
            trouble = error
        if not taken and self._reader.ended():
            self._limiter.end_inserts()
        # As long as there is something to read, no pause is made.
        if trouble is not None and not taken:
            raise trouble
        return taken

    def poll_patiently(self) -> int:
        """Do as `poll`, but count an outage, and try again no sooner than after a pause that grows while it lasts."""
        if time.monotonic() < self._try_at:
            return 0
        try:
            taken = self.poll()
        except BufferUnavailable as error:
            if self._pause == FIRST_PAUSE_SECONDS:
                log.warning("feed: %s; trying again until it is there", error)
            self.outages += 1
            self._try_at = time.monotonic() + self._pause * random.uniform(0.5, 1.5)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            return 0
        self._pause = FIRST_PAUSE_SECONDS
        return taken

    def _may_insert(self, game: str) -> bool:
        return self._limiter.may_insert() or len(self._replays[game]) < self._least

    def _take(self, stored: StoredChunk, replay: GameReplay[Any]) -> None:
        if stored.sequence <= self._seen.get(stored.producer_id, -1):
            self.duplicates += 1
            return
        try:
            if stored.foreign:
                raise ChunkError("foreign", stored.foreign)
            chunk = self._decoder.decode(stored.data)
            header = chunk.header
            if (header.game, header.producer_id, header.sequence) != (stored.game, stored.producer_id, stored.sequence):
                raise ChunkError(
                    "schema", f"chunk {stored.producer_id}/{stored.sequence}: its entry names another chunk"
                )
            if header.steps != stored.steps:
                raise ChunkError("foreign", f"its entry counts {stored.steps} steps, it has {header.steps}")
            if header.steps > replay.capacity:
                raise ChunkError("shape", f"chunk of {header.steps} steps: the replay holds {replay.capacity}")
        except ChunkError as error:
            self.rejected[error.reason] += 1
            what = f"chunk {stored.producer_id}/{stored.sequence}" if stored.producer_id else "no chunk"
            self.last_rejection = f"{stored.game}, {what}: {error}"
            log.warning("refused a chunk (%s): %s", error.reason, self.last_rejection)
            if self.witness is not None:
                self.witness.refused(stored, error.reason)
            return
        self._seen[header.producer_id] = header.sequence
        if header.teacher_version < self.least_version.get(header.game, 0):
            self.stale += header.steps
            return
        replay.append(chunk)
        if self.witness is not None:
            self.witness.entered(stored)
        with self._lock:
            if header.sequence <= self._consumed.get(header.producer_id, -1):
                self.refilled += header.steps
                return
            self._consumed[header.producer_id] = header.sequence
            self._limiter.inserted(header.steps)
            self.inserted[header.game] += header.steps

    def get_state(self) -> FeedState:
        """Return what a checkpoint keeps; it agrees with the limiter's count because both are taken at one moment."""
        with self._lock:
            return FeedState(dict(self._consumed), dict(self.inserted), self._limiter.get_state())

    def start(self) -> None:
        """Start the feed thread."""
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the feed thread, if there is one, and close the connection."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self._reader.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                began, allowed = time.monotonic(), any(map(self._may_insert, self._replays))
                # Where nothing may be read there still may be a commit that is owed.
                if self.poll_patiently() == 0:
                    self._stop.wait(IDLE_SECONDS)
                if not allowed:
                    self._limiter.waited("insert", time.monotonic() - began)
        except ReplacedError as error:
            log.warning("feed: it ends: %s", error)
            self.failure = error
        except BaseException as error:  # noqa: BLE001 - kept for the learner thread, which raises it
            self.failure = error
