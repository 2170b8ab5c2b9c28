"""Episodes that are shown from their beginning to their end, one after the other, with their scores."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from actors.video import FRAMES_PER_SECOND
from cluster.play.lineup import Lineup
from cluster.watch.cast import Who
from cluster.watch.match import Match


@dataclass(frozen=True)
class Shown:
    """An episode of one player that was shown.

    Attributes:
        game: ROM name.
        episode: its number at this game, from 1.
        who: played it.
        score: raw score when it ended, or was cut off.
        seconds: of play.
        finished: whether it ended by itself.
    """

    game: str
    episode: int
    who: Who
    score: float
    seconds: float
    finished: bool


@dataclass(frozen=True)
class Showing:
    """What is to be shown.

    Attributes:
        lineup: who plays.
        episodes: of every game.
        seed: of the episodes.
        epsilon: share of random actions.
        most_seconds: of play, after which an episode is cut off.
    """

    lineup: Lineup
    episodes: int
    seed: int
    epsilon: float
    most_seconds: float

    def matches(self) -> Iterator[tuple[int, Match]]:
        """Yield the number of every episode and its match, which is closed when the next one is asked for."""
        for game in self.lineup.games:
            for episode in range(1, self.episodes + 1):
                match = self.lineup.match(game, self.seed + episode - 1, self.epsilon, endless=False)
                with contextlib.closing(match):
                    yield episode, match

    def steps(self, match: Match) -> Iterator[Match]:
        """Yield a match at its beginning and after every control step, until all its episodes have ended."""
        match.play(0)
        yield match
        for _ in range(round(self.most_seconds * FRAMES_PER_SECOND)):
            if match.ended:
                return
            match.play(1)
            yield match


def results(episode: int, match: Match) -> list[Shown]:
    """Return what came of a match."""
    return [
        Shown(match.game, episode, who, seat.score, seat.steps / FRAMES_PER_SECOND, seat.moment.ended)
        for who, seat in match.seats.items()
    ]
