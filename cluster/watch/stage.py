"""Plays the games of a run for whoever watches: a thread that exists only while somebody does."""

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Protocol

from distill.errors import DistillError

log = logging.getLogger(__name__)

ROUND_SECONDS = 0.2
"""Time between two pictures of a game, unless the machine is too slow or there are too many games."""
STEPS_PER_ROUND = 3
"""Control steps between two pictures; 15 a second are the game's own speed."""
MOST_SHARE = 0.25
"""Share of one core that playing may take; with many games they slow down instead."""
RETRY_SECONDS = 5.0
"""Time after which a game that could not be played is tried again."""
_STOP_SECONDS = 10.0


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

    Args:
        games: ROM names.
        begin: makes the match of a game.
    """

    def __init__(self, games: tuple[str, ...], begin: Callable[[str], Playable]) -> None:
        self._games = games
        self._begin = begin
        self._changed = threading.Condition()
        self._frames: dict[str, tuple[int, str]] = {}
        self._number = 0
        self._viewers = 0
        self._playing = False
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        """Whether viewers have to leave."""
        return self._closed

    @property
    def playing(self) -> bool:
        """Whether games are played."""
        return self._playing

    @contextmanager
    def watch(self) -> Generator["Viewer"]:
        """Have the games played as long as the context lasts."""
        with self._changed:
            self._viewers += 1
            if not self._playing:
                self._playing = True
                self._thread = threading.Thread(target=self._play, name="stage", daemon=True)
                self._thread.start()
        try:
            yield Viewer(self)
        finally:
            with self._changed:
                self._viewers -= 1
                self._changed.notify_all()

    def next(self, seen: int, timeout: float) -> list[tuple[int, str]]:
        """Return number and text of the frames after number `seen`, by number; none after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newer(seen), timeout)
            return self._newer(seen)

    def close(self) -> None:
        """Tell all viewers to leave, and wait until nothing is played any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _play(self) -> None:
        matches: dict[str, Playable] = {}
        retry_at: dict[str, float] = {}
        try:
            while self._has_viewers():
                spent = 0.0
                for game in self._games:
                    if time.monotonic() < retry_at.get(game, 0.0):
                        continue
                    began, known = time.monotonic(), game in matches
                    if not self._advance(game, matches):
                        retry_at[game] = time.monotonic() + RETRY_SECONDS
                    elif known:
                        # The first time a game's models are loaded, which need not be made up for.
                        spent += time.monotonic() - began
                self._rest(max(ROUND_SECONDS - spent, spent * (1.0 / MOST_SHARE - 1.0)))
        finally:
            for match in matches.values():
                match.close()

    def _advance(self, game: str, matches: dict[str, Playable]) -> bool:
        """Play a game on and publish its frame; return False if that failed."""
        try:
            if game not in matches:
                matches[game] = self._begin(game)
            frame = matches[game].advance(STEPS_PER_ROUND)
        except (DistillError, OSError) as error:
            log.debug("%s cannot be played: %s", game, error)
            self._publish(game, {"game": game, "error": str(error)})
            return False
        self._publish(game, frame)
        return True

    def _publish(self, game: str, frame: Mapping[str, object]) -> None:
        text = json.dumps(frame, separators=(",", ":"))
        with self._changed:
            self._number += 1
            self._frames[game] = self._number, text
            self._changed.notify_all()

    def _has_viewers(self) -> bool:
        """Return whether anybody watches; if not, the next viewer starts another thread with fresh games."""
        with self._changed:
            if self._viewers == 0:
                self._playing = False
                self._frames.clear()
            return self._viewers > 0

    def _newer(self, seen: int) -> list[tuple[int, str]]:
        return sorted(frame for frame in self._frames.values() if frame[0] > seen)

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._viewers == 0, seconds)


class Viewer:
    """Takes the newest frames; one that is slow misses some, and holds nobody up.

    Args:
        stage: where they are made.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen = 0

    def next(self, timeout: float) -> list[str]:
        """Return the games' frames that are newer than those of the last call, none after `timeout` seconds."""
        frames = self._stage.next(self._seen, timeout)
        if frames:
            self._seen = frames[-1][0]
        return [text for _, text in frames]
