"""Plays the games of a run for whoever watches, and only while somebody does."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from distill.errors import DistillError

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Time after which a game that could not be played is tried again."""


@dataclass(frozen=True)
class Pace:
    """How fast games are played.

    Attributes:
        round_seconds: time between two pictures of a game, unless the machine is too slow or there are too many games.
        steps: control steps between two pictures; 15 a second are the game's own speed.
        most_share: share of one core that playing may take; with many games they slow down instead.
    """

    round_seconds: float
    steps: int
    most_share: float


BESIDE_A_RUN = Pace(0.2, 3, 0.25)
"""The run needs the machine more."""
ALONE = Pace(1 / 15, 1, 0.9)


class Playable(Protocol):
    """What `cluster.watch.match.Match` does."""

    def advance(self, steps: int) -> Mapping[str, object]:
        """Play and return what is to be shown."""
        ...

    def close(self) -> None:
        """End."""
        ...


class Stage:
    """Plays all games in turn while it has viewers, and keeps the newest frame of each.

    It belongs to one event loop; the games themselves are played in a thread of their own.

    Args:
        games: ROM names.
        begin: makes the match of a game.
        pace: how fast.
    """

    def __init__(self, games: tuple[str, ...], begin: Callable[[str], Playable], pace: Pace = BESIDE_A_RUN) -> None:
        self._games = games
        self._begin = begin
        self._pace = pace
        self._thread = ThreadPoolExecutor(1, "stage")
        self._play_on: asyncio.Task[None] | None = None
        self._viewers = 0
        self._frames: dict[str, tuple[int, str]] = {}
        self._number = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether viewers have to leave."""
        return self._closed

    @property
    def playing(self) -> bool:
        """Whether games are played."""
        return self._play_on is not None

    @contextmanager
    def watch(self) -> Generator["Viewer"]:
        """Have the games played as long as the context lasts."""
        self._viewers += 1
        if self._play_on is None and not self._closed:
            self._play_on = asyncio.create_task(self._play())
        try:
            yield Viewer(self)
        finally:
            self._viewers -= 1

    async def newer(self, seen: int) -> list[tuple[int, str]]:
        """Return number and text of the frames after number `seen`, by number; none once the stage is closed."""
        while not (frames := sorted(frame for frame in self._frames.values() if frame[0] > seen)) and not self._closed:
            await self._changed.wait()
        return frames

    async def close(self) -> None:
        """Tell all viewers to leave, and wait until nothing is played any more."""
        self._closed = True
        self._tell()
        if self._play_on is not None:
            self._play_on.cancel()
            await asyncio.wait([self._play_on])
        await asyncio.to_thread(self._thread.shutdown)

    async def _play(self) -> None:
        matches: dict[str, Playable] = {}
        retry_at: dict[str, float] = {}
        try:
            while self._viewers > 0:
                spent = 0.0
                for game in self._games:
                    if time.monotonic() < retry_at.get(game, 0.0):
                        continue
                    began, known = time.monotonic(), game in matches
                    if not await self._advance(game, matches):
                        retry_at[game] = time.monotonic() + RETRY_SECONDS
                    elif known:
                        # The first time a game's models are loaded, which need not be made up for.
                        spent += time.monotonic() - began
                pause = max(self._pace.round_seconds - spent, spent * (1.0 / self._pace.most_share - 1.0))
                await asyncio.sleep(pause)
        finally:
            # The next viewer begins with fresh games. A step that is still on its way in the thread ends before these.
            self._play_on = None
            self._frames.clear()
            self._thread.submit(_close_all, matches)

    async def _advance(self, game: str, matches: dict[str, Playable]) -> bool:
        """Play a game on and publish its frame; return False if that failed."""

        def advance() -> str:
            if game not in matches:
                matches[game] = self._begin(game)
            return _text(matches[game].advance(self._pace.steps))

        try:
            frame, played = await asyncio.get_running_loop().run_in_executor(self._thread, advance), True
        except (DistillError, OSError) as error:
            log.debug("%s cannot be played: %s", game, error)
            frame, played = _text({"game": game, "error": str(error)}), False
        self._number += 1
        self._frames[game] = self._number, frame
        self._tell()
        return played

    def _tell(self) -> None:
        """Wake all that wait, and let later ones wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()


class Viewer:
    """Takes the newest frames; one that is slow misses some, and holds nobody up.

    Args:
        stage: where they are made.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen = 0

    async def next(self, timeout: float) -> list[str]:
        """Return the games' frames that are newer than those of the last call, none after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                frames = await self._stage.newer(self._seen)
        except TimeoutError:
            return []
        if frames:
            self._seen = frames[-1][0]
        return [text for _, text in frames]


def _text(frame: Mapping[str, object]) -> str:
    return json.dumps(frame, separators=(",", ":"))


def _close_all(matches: dict[str, Playable]) -> None:
    for match in matches.values():
        match.close()
