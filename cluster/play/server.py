"""The live page of models that play, for as long as somebody looks."""

from collections.abc import Mapping

from cluster.play.lineup import Lineup
from cluster.watch.access import Access
from cluster.watch.routes import MODELS, page
from cluster.watch.stage import ALONE, Stage
from cluster.web.server import HttpServer
from distill.games import action_meanings

HOST = "127.0.0.1"
"""Whoever looks from elsewhere comes by a tunnel, as docs/watch.md says."""


class _Document:
    """What the page shows beside the pictures, which never changes."""

    def __init__(self, name: str, lineup: Lineup, epsilon: float) -> None:
        self._document = {
            "name": name,
            "about": f"distill play: epsilon {epsilon:g}, up to 30 no-ops, every episode begun alike for both",
            "titles": dict(lineup.titles),
            "tau": lineup.tau,
            "games": [
                {"game": game, "actions": list(action_meanings(game)), "players": lineup.players(game)}
                for game in lineup.games
            ],
        }

    def document(self) -> Mapping[str, object]:
        """Return it."""
        return self._document


def play_server(name: str, lineup: Lineup, seed: int, epsilon: float, port: int) -> HttpServer:
    """Return a server of the page, on this machine's own address; use it as a context manager.

    Args:
        name: what is played.
        lineup: who plays.
        seed: of the episodes.
        epsilon: share of random actions.
        port: to listen on; 0 takes a free one.

    Raises:
        RunError: if the port cannot be listened on.
    """
    stage = Stage(lineup.games, lambda game: lineup.match(game, seed, epsilon, endless=True), ALONE)
    return HttpServer("play", page(Access(HOST, None), MODELS, _Document(name, lineup, epsilon), stage), HOST, port)
