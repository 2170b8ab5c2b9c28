"""Plays one game twice, by the student and by its teacher, and shows what both think of the student's screen."""

import base64
import io
from collections import deque
from typing import Any

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt

from actors.pictured import Moment, PicturedGame
from actors.policy import Policy, epsilon_greedy
from cluster.state.kinds import AnyConfig, kind_of
from cluster.watch.cast import ROLES, Cast, Casting, Player, Who
from distill.config import StudentConfig
from distill.games import FRAMES_PER_STEP, SeedStream, reset_seed

AGREEMENT_STEPS = 10 * 60 // FRAMES_PER_STEP
"""Ten seconds of play."""

Vector = npt.NDArray[np.float32]


class Seat:
    """One of the two emulators, with the score of its episode.

    Args:
        game: ROM name.
        seed: both seats of a match begin every episode alike.
    """

    def __init__(self, game: str, seed: int) -> None:
        self._pictured = PicturedGame(game)
        self._seed = seed
        self._episode = 0
        self.last_score: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.score, self.steps, self.action = 0.0, 0, 0
        self.moment: Moment = self._pictured.reset(reset_seed(self._seed, SeedStream.MATCH, self._episode))
        self._generator = np.random.default_rng([self._seed, SeedStream.MATCH, self._episode])

    def step(self, q_values: Vector, epsilon: float) -> None:
        """Take one control step, or begin the next episode after the end of one.

        Args:
            q_values: [1, A].
            epsilon: share of random actions.
        """
        if self.moment.ended:
            self.last_score, self._episode = self.score, self._episode + 1
            self._begin()
            return
        actions = epsilon_greedy(q_values, epsilon, self._generator)
        self.moment = self._pictured.step(actions)
        self.action, self.score, self.steps = int(actions[0]), self.score + self.moment.reward, self.steps + 1

    def document(self, player: Player) -> dict[str, Any]:
        """Return what the page shows of this seat."""
        return {
            "version": player.version,
            "picture": png(self.moment.picture),
            "score": self.score,
            "seconds": round(self.steps * FRAMES_PER_STEP / 60.0, 1),
            "last_score": self.last_score,
            "action": self.action,
        }

    def close(self) -> None:
        """End the emulators."""
        self._pictured.close()


class Match:
    """A student and its teacher at the same game, each at an emulator of its own.

    Args:
        game: ROM name.
        cast: who plays; a newer version takes over in the middle of an episode.
        seed: the run's seed.
        epsilon: share of random actions, as in evaluations.
        tau: temperature of the teacher's softmax.
        student_tau: temperature of the student's: 1 where it learned probabilities, `tau` where it learned q-values.
        endless: whether the next episode follows an episode that has ended.

    Attributes:
        seats: of those who play.
    """

    def __init__(
        self,
        game: str,
        cast: Casting,
        seed: int,
        epsilon: float,
        tau: float,
        student_tau: float,
        *,
        endless: bool = True,
    ) -> None:
        self.game, self.seats = game, dict[Who, Seat]()
        self._cast, self._seed, self._epsilon, self._endless = cast, seed, epsilon, endless
        self._taus: dict[Who, float] = {"student": student_tau, "teacher": tau}
        self._players: dict[Who, Player] = {}
        self._policies: dict[Who, Policy] = {}
        self._agreed: deque[bool] = deque(maxlen=AGREEMENT_STEPS)

    @property
    def agreement(self) -> float | None:
        """Share of the student's steps of the last 10 s on which the teacher would have chosen the same, if any."""
        return float(np.mean(self._agreed)) if self._agreed else None

    @property
    def watched(self) -> Who | None:
        """Whose screen both networks judge, None if nobody plays."""
        return next((who for who in ROLES if who in self._players), None)

    @property
    def ended(self) -> bool:
        """Whether every episode has ended and no other follows."""
        return not self._endless and bool(self.seats) and all(seat.moment.ended for seat in self.seats.values())

    def play(self, steps: int) -> None:
        """Play a few control steps.

        Raises:
            DistillError: if a model cannot be loaded or played.
        """
        self._players = {who: player for who in ROLES if (player := self._cast.player(who, self.game))}
        self._policies = {who: self._cast.policy(who, self.game, player) for who, player in self._players.items()}
        for who in self._players:
            if who not in self.seats:
                self.seats[who] = Seat(self.game, self._seed)
        for _ in range(steps):
            self._step()

    def outputs(self) -> dict[Who, Vector]:
        """Return what the networks say of the watched screen, [A] each."""
        if self.watched is None:
            return {}
        observation = self.seats[self.watched].moment.observation
        return {who: policy(observation)[0] for who, policy in self._policies.items()}

    def advance(self, steps: int) -> dict[str, Any]:
        """Play a few control steps and return what the page shows then.

        Raises:
            DistillError: if a model cannot be loaded or played.
        """
        self.play(steps)
        document: dict[str, Any] = {
            "game": self.game,
            "seats": {who: self.seats[who].document(player) for who, player in self._players.items()},
            "agreement": self.agreement,
        }
        if self.watched is not None:
            document["screen_of"] = self.watched
            document["views"] = {who: self._view(who, values) for who, values in self.outputs().items()}
        return document

    def close(self) -> None:
        """End the emulators."""
        for seat in self.seats.values():
            seat.close()

    def _step(self) -> None:
        playing: dict[Who, Policy] = {
            who: policy for who, policy in self._policies.items() if self._endless or not self.seats[who].moment.ended
        }
        outputs: dict[Who, Vector] = {
            who: policy(self.seats[who].moment.observation) for who, policy in playing.items()
        }
        if "student" in playing and "teacher" in self._policies:
            judged = self._policies["teacher"](self.seats["student"].moment.observation)
            self._agreed.append(bool(judged.argmax() == outputs["student"].argmax()))
        for who, q_values in outputs.items():
            self.seats[who].step(q_values, self._epsilon)

    def _view(self, who: Who, outputs: Vector) -> dict[str, list[float]]:
        return {
            "outputs": [round(float(value), 4) for value in outputs],
            "probabilities": [round(float(value), 4) for value in softmax(outputs, self._taus[who])],
        }


def begin_match(game: str, cast: Cast, config: AnyConfig) -> Match:
    """Return a match of a run's models, with the epsilon of its evaluations and the temperature of its loss."""
    kind = kind_of(config)
    # A Q-learner's candidate has no loss with a temperature; the paper's makes its choices visible as well.
    student = kind.student or StudentConfig(loss="mse")
    student_tau = student.tau if student.loss == "mse" else 1.0
    return Match(game, cast, config.general.seed, kind.final.epsilon, cast.tau(game, student.tau), student_tau)


def softmax(values: Vector, tau: float) -> npt.NDArray[np.float64]:
    """Return softmax(values / tau) of [A]."""
    powers = np.exp((values.astype(np.float64) - values.max()) / tau)
    return powers / powers.sum()


def png(picture: npt.NDArray[np.uint8]) -> str:
    """Return a picture [H, W, 3] as base64 of a PNG; Atari screens have few colours and take 1 to 3 kB."""
    file = io.BytesIO()
    imageio.imwrite(  # pyright: ignore[reportUnknownMemberType] - a format's settings have no types
        file,
        picture,
        format="png",  # pyright: ignore[reportArgumentType] - a format's name is documented to work
    )
    return base64.b64encode(file.getvalue()).decode("ascii")
