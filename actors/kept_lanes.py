"""Keeps emulators from one evaluation to the next, and resets them several at a time."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from actors.lane import Lane
from distill.evaluation_protocols import EvaluationProtocol

MOST_IDLE = 64
"""Lanes that are kept of games that are not played now; one takes 1.7 MB."""


class KeptLanes:
    """Lanes by game and protocol.

    To make an emulator takes 70 ms of one core, during which Python runs nothing else; to reset it with a seed takes
    that again, since ALE loads the game anew, but on the emulator's own thread. So who plays a game again only resets,
    on all cores at once. Episodes are the same on a kept emulator as on a new one.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, EvaluationProtocol], list[Lane]] = {}

    def begun(self, game: str, protocol: EvaluationProtocol, seeds: Sequence[int]) -> list[Lane]:
        """Return a lane for each seed, at the beginning of its first episode; those of the last call are over."""
        key = game, protocol
        # The game that is played now is the last one in the order.
        kept = self._lanes.pop(key, [])
        kept += [Lane(game, protocol) for _ in range(len(seeds) - len(kept))]
        self._forget(MOST_IDLE)
        self._lanes[key] = kept
        lanes = kept[: len(seeds)]
        with ThreadPoolExecutor(min(len(lanes), len(os.sched_getaffinity(0)))) as pool:
            list(pool.map(Lane.begin, lanes, seeds))
        return lanes

    def _forget(self, most: int) -> None:
        """Let go of the games that were not played for the longest time, until no more than `most` lanes are left."""
        while sum(map(len, self._lanes.values())) > most:
            del self._lanes[next(iter(self._lanes))]
