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
from cluster.watch.cast import ROLES, Cast, Player, Who
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
    """

    def __init__(self, game: str, cast: Cast, seed: int, epsilon: float, tau: float, student_tau: float) -> None:
        self._game, self._cast, self._seed, self._epsilon = game, cast, seed, epsilon
        self._taus: dict[Who, float] = {"student": student_tau, "teacher": tau}
        self._seats: dict[Who, Seat] = {}
        self._agreed: deque[bool] = deque(maxlen=AGREEMENT_STEPS)

    def advance(self, steps: int) -> dict[str, Any]:
        """Play a few control steps and return what the page shows then.

        Raises:
            DistillError: if a model cannot be loaded or played.
        """
        players: dict[Who, Player] = {who: player for who in ROLES if (player := self._cast.player(who, self._game))}
        policies: dict[Who, Policy] = {
            who: self._cast.policy(who, self._game, player) for who, player in players.items()
        }
        for who in players.keys() - self._seats.keys():
            self._seats[who] = Seat(self._game, self._seed)
        for _ in range(steps):
            self._step(policies)
        document: dict[str, Any] = {
            "game": self._game,
            "seats": {who: self._seats[who].document(player) for who, player in players.items()},
            "agreement": float(np.mean(self._agreed)) if self._agreed else None,
        }
        if players:
            watched: Who = "student" if "student" in players else "teacher"
            observation = self._seats[watched].moment.observation
            document["screen_of"] = watched
            document["views"] = {who: self._view(who, policy(observation)[0]) for who, policy in policies.items()}
        return document

    def close(self) -> None:
        """End the emulators."""
        for seat in self._seats.values():
            seat.close()

    def _step(self, policies: dict[Who, Policy]) -> None:
        outputs: dict[Who, Vector] = {
            who: policy(self._seats[who].moment.observation) for who, policy in policies.items()
        }
        if len(policies) == 2:
            judged = policies["teacher"](self._seats["student"].moment.observation)
            self._agreed.append(bool(judged.argmax() == outputs["student"].argmax()))
        for who, q_values in outputs.items():
            self._seats[who].step(q_values, self._epsilon)

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
