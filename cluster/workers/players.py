"""Who plays for the buffer: how such an actor is made, and what it is told with every slice of its play."""

from typing import Any, Protocol

from actors.collecting_actor import CollectingActor, CollectorSpec, CollectorStatus, student_share
from actors.exploring_actor import ExplorerSpec, ExploringActor
from cluster.redis.holder import incarnation_of
from cluster.state.kinds import Collecting, Exploring
from cluster.state.session import Session
from distill.protocols import STUDENT


class Playing(Protocol):
    """An actor that plays, in this process."""

    def advance(self, seconds: float, told: Any, /, steps: int | None = None) -> CollectorStatus:
        """Play for about `seconds`, or `steps` steps, and tell the status."""
        ...

    def finish(self, timeout: float) -> int:
        """Push what is left within `timeout` seconds and close; return the number of chunks left behind."""
        ...


class Players:
    """Makes a session's players.

    Args:
        session: of the run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def actor(self) -> type[CollectingActor] | type[ExploringActor]:
        """The class of the players; an instance takes what `spec` returns, and the services."""
        return CollectingActor if isinstance(self._session.kind.playing, Collecting) else ExploringActor

    def spec(self, game: str, index: int, starts: int) -> CollectorSpec | ExplorerSpec:
        """Return what it takes to start the player of a game with that number.

        Args:
            game: ROM name.
            index: number of the player among those of its game.
            starts: how often it was started before in this sitting.
        """
        session, playing, seed = self._session, self._session.kind.playing, self._session.config.general.seed
        # A resumed run must not replay the episodes of its first sitting.
        name, incarnation = f"{game}-{index}", incarnation_of(session.sitting, starts)
        if isinstance(playing, Exploring):
            lineage = session.kind.leader_of(game).name
            return ExplorerSpec(game, lineage, playing.config, seed, name, index, incarnation, playing.labels)
        return CollectorSpec(game, session.teachers[game].data, playing.config, seed, name, index, incarnation)

    def make(self, game: str, index: int) -> Playing:
        """Make the player of a game with that number in this process."""
        spec, services = self.spec(game, index, 0), self._session.services
        return CollectingActor(spec, services) if isinstance(spec, CollectorSpec) else ExploringActor(spec, services)

    def told(self, game: str) -> float | int:
        """Return what a player is told of the learners: the share that the student drives, or the steps so far."""
        playing = self._session.kind.playing
        if isinstance(playing, Collecting):
            return student_share(playing.config, self._session.updates(STUDENT))
        return self._session.game_steps(game)
