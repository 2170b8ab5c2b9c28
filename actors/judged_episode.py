"""Episodes that a student plays while its teacher judges every choice, by the q-values that the student gives away."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actors.lane import Lane
from actors.policy import Policy, epsilon_greedy, greedy
from distill.evaluation_protocols import DISTILL
from distill.games import SeedStream, reset_seed

LANES = 16


@dataclass(frozen=True, eq=False)
class JudgedEpisode:
    """One whole episode, T control steps.

    Attributes:
        game: ROM name.
        number: of the episode, from 0.
        seed: that its emulator was reset with.
        score: raw.
        taken: [T] int64, the actions that were taken, random ones too.
        chosen: [T] int64, the student's best action in every state.
        best: [T] int64, the teacher's.
        costs: [T] float32, the teacher's q-value of its best action less that of the student's.
    """

    game: str
    number: int
    seed: int
    score: float
    taken: npt.NDArray[np.int64]
    chosen: npt.NDArray[np.int64]
    best: npt.NDArray[np.int64]
    costs: npt.NDArray[np.float32]


@dataclass
class _Playing:
    number: int
    seed: int
    lane: Lane
    taken: list[int] = field(default_factory=list[int])
    chosen: list[int] = field(default_factory=list[int])
    best: list[int] = field(default_factory=list[int])
    costs: list[float] = field(default_factory=list[float])


def judged_episodes(
    game: str, student: Policy, teacher: Policy, *, episodes: int, epsilon: float, seed: int
) -> Iterator[JudgedEpisode | None]:
    """Play whole episodes under this project's protocol; yield each that ends, and None in between.

    Args:
        game: ROM name.
        student: plays.
        teacher: judges.
        episodes: how many.
        epsilon: share of uniformly random actions; the states after these are judged like all others.
        seed: of emulators and random actions.

    Raises:
        RunError: if a q-value is not finite.
    """
    generator = np.random.default_rng([seed, SeedStream.DISAGREEMENT])
    waiting = list(range(episodes - 1, -1, -1))
    playing: list[_Playing] = []
    while waiting or playing:
        while waiting and len(playing) < LANES:
            number = waiting.pop()
            own = reset_seed(seed, SeedStream.DISAGREEMENT, number)
            lane = Lane(game, DISTILL)
            lane.begin(own)
            playing.append(_Playing(number, own, lane))
        _step(playing, student, teacher, epsilon, generator)
        for one in [one for one in playing if one.lane.scores]:
            playing.remove(one)
            yield _judged(game, one)
        yield None


def _step(
    playing: list[_Playing], student: Policy, teacher: Policy, epsilon: float, generator: np.random.Generator
) -> None:
    observations = np.concatenate([one.lane.observation for one in playing])
    outputs, judged = student(observations), teacher(observations)
    chosen, best = greedy(outputs), greedy(judged)
    rows = np.arange(len(playing))
    costs = judged[rows, best] - judged[rows, chosen]
    actions = epsilon_greedy(outputs, epsilon, generator)
    for row, one in enumerate(playing):
        one.taken.append(int(actions[row]))
        one.chosen.append(int(chosen[row]))
        one.best.append(int(best[row]))
        one.costs.append(float(costs[row]))
        one.lane.send(actions[row : row + 1])
        one.lane.receive()


def _judged(game: str, one: _Playing) -> JudgedEpisode:
    return JudgedEpisode(
        game, one.number, one.seed, one.lane.scores[0],
        np.array(one.taken, np.int64), np.array(one.chosen, np.int64), np.array(one.best, np.int64),
        np.array(one.costs, np.float32),
    )  # fmt: skip
