"""Decides which version of each line is the best: hands out episodes to play, takes their scores, promotes.

All its state is in the lines' ledgers, so a coordinator that is killed at any point goes on where it was: scores are
noted by block, a verdict is given once, and what is to be played follows from both. Only whose turn it is among several
lines begins anew.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.ledger import Ledger, Promotion
from distill.errors import RunError
from distill.games import SeedStream, reset_seed
from distill.promotion import decide
from distill.scores import GameScore
from distill.teach_config import PromotionConfig

log = logging.getLogger(__name__)

CANDIDATE = "candidate"
"""Name of the version that is being played."""
FRESH = 1_000_000
"""First block of the episodes that a model plays once it is the best; they have seeds of their own."""
CURVE = 2_000_000
"""Block of the episodes that all versions of a run's last half play after the training, with the same seeds."""

Blocks = dict[int, list[float]]


class Ledgers(Protocol):
    """Where a coordinator finds the ledger of a line."""

    def ledger(self, line: str) -> Ledger:
        """Connect to a line's ledger."""
        ...


@dataclass(frozen=True)
class Line:
    """Models whose versions are candidates for promotion.

    Attributes:
        name: of the line in the registry.
        games: that they play.
        who: `candidate` for a Q-learner's, `student` for a student's.
        names: what a promotion points at the version.
    """

    name: str
    games: tuple[str, ...]
    who: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class LineState:
    """How far a line has come.

    Attributes:
        line: its name.
        newest: newest version.
        best: the promoted version, None before the first.
        best_means: its mean score per game.
        candidate: version that is being played, None if none is.
        promotions: how many there were.
        superseded: candidates that gave way to a newer one before anybody played them.
    """

    line: str
    newest: int
    best: int | None
    best_means: dict[str, float]
    candidate: int | None
    promotions: int
    superseded: int


@dataclass(frozen=True)
class Orders:
    """What a coordinator says.

    Attributes:
        tasks: what to play next, the most urgent first.
        lines: state of every line.
        news: what was decided since the last call, a sentence each.
    """

    tasks: tuple[EvaluationTask, ...]
    lines: tuple[LineState, ...]
    news: tuple[str, ...]


class Coordinator:
    """Plays a run's candidates against the best so far; `cluster.workers.remote_coordinator` puts it behind Ray.

    Args:
        lines: the run's lines.
        ledgers: where their state is.
        config: rule, looks and episodes.
        seed: the run's seed.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        ledgers: Ledgers,
        config: PromotionConfig,
        seed: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lines = [(line, ledgers.ledger(line.name)) for line in lines]
        self._config = config
        self._seed = seed
        self._clock = clock
        self._news: list[str] = []

    def advance(
        self, results: Sequence[tuple[EvaluationTask, Evaluation]], playing: EvaluationTask | None = None
    ) -> Orders:
        """Take results, decide what they allow, and say what to play next.

        Args:
            results: giving the same one twice changes nothing.
            playing: the task that is being played. Its candidate does not give way to a newer one: where candidates
                come faster than they can be played, none would ever be decided on.

        Raises:
            BufferUnavailable: if the registry is out of reach; the results must be given again.
        """
        ledgers = {line.name: ledger for line, ledger in self._lines}
        for task, evaluation in results:
            ledgers[task.line].add_scores(task.version, task.game, task.block, evaluation.scores)
            # The line that was played last comes last: one whose candidates never end must not keep out the others.
            self._lines.sort(key=lambda pair, played=task.line: pair[0].name == played)
        urgent: list[EvaluationTask] = []
        rest: list[EvaluationTask] = []
        states: list[LineState] = []
        for line, ledger in self._lines:
            scores = ledger.scores()
            current = self._decide(line, ledger, scores, playing)
            best = ledger.resolve("best")
            if best is not None:
                fresh = self._tasks(line, best, scores.get(best, {}), FRESH, self._config.best_episodes)
                # Until the best model has its first fresh episodes, candidates are compared with those that flatter
                # it. More of them make later decisions better; a candidate's make one now.
                urgent += [task for task in fresh if task.block == FRESH]
                rest += [task for task in fresh if task.block != FRESH]
            if current is not None:
                urgent += self._tasks(line, current, scores.get(current, {}), 0, self._config.most_episodes)
            states.append(_state(line, ledger, current, best, scores))
        news, self._news = tuple(self._news), []
        return Orders((*urgent, *rest), tuple(states), news)

    def _decide(
        self, line: Line, ledger: Ledger, scores: dict[int, dict[str, Blocks]], playing: EvaluationTask | None
    ) -> int | None:
        """Give verdicts until one candidate, or none, is left to play; return it."""
        while True:
            verdicts = ledger.verdicts()
            waiting = [v for v in range(1, (ledger.resolve("latest") or 0) + 1) if v not in verdicts]
            if not waiting:
                return None
            if self._config.curve_episodes:
                for version in waiting:
                    ledger.set_aside(version)
            begun = [
                v for v in waiting if v in scores or (playing and (playing.line, playing.version) == (line.name, v))
            ]
            current = begun[0] if begun else waiting[-1]
            for version in waiting[:-1]:
                # The queue stays bounded: whatever was not begun gives way to the newest.
                if version != current:
                    ledger.turn_down(version, "superseded", "a newer one was there")
            if _pin(ledger, current) and not self._judge(line, ledger, current, scores):
                return current

    def _judge(self, line: Line, ledger: Ledger, version: int, scores: dict[int, dict[str, Blocks]]) -> bool:
        """Decide on a candidate; return whether that is done."""
        played = _played(line, scores.get(version, {}), fresh=False)
        best = ledger.resolve("best")
        decision = decide(
            played, None if best is None else self._scores_of_best(line, scores.get(best, {})), self._config
        )
        if decision.verdict == "continue":
            return False
        means = ", ".join(f"{game} {GameScore.of(game, line.who, version, s).mean:.1f}" for game, s in played.items())
        if decision.verdict == "reject":
            if ledger.turn_down(version, "rejected", decision.why):
                self._tell(f"{line.name} {version} is not promoted: {means}; {decision.why}")
        else:
            details = {game: _summary(GameScore.of(game, line.who, version, s)) for game, s in played.items()}
            promotion = Promotion(version, best, line.names, details, self._clock(), decision.why)
            if ledger.promote(promotion):
                self._tell(f"{line.name} {version} is promoted: {means}; {decision.why}")
        return True

    def _scores_of_best(self, line: Line, blocks: dict[str, Blocks]) -> dict[str, list[float]]:
        fresh = _played(line, blocks, fresh=True)
        enough = all(len(scores) >= self._config.look_episodes for scores in fresh.values())
        return fresh if enough else _played(line, blocks, fresh=False)

    def _tasks(
        self, line: Line, version: int, blocks: dict[str, Blocks], first: int, most: int
    ) -> list[EvaluationTask]:
        """Return the next block of every game that has fewer than `most` episodes, the game with the fewest first."""
        config = self._config
        tasks: list[EvaluationTask] = []
        for game in line.games:
            mine = [len(scores) for block, scores in blocks.get(game, {}).items() if (block >= FRESH) == (first > 0)]
            left = most - sum(mine)
            if left > 0:
                block = first + len(mine)
                episodes = min(config.look_episodes, left)
                seed = reset_seed(self._seed, SeedStream.PROMOTION, block)
                tasks.append(
                    EvaluationTask(
                        line.who, game, version, None, episodes, episodes, config.eval_epsilon, seed, line.name, block
                    )
                )
        return sorted(tasks, key=lambda task: task.block)

    def _tell(self, news: str) -> None:
        log.info(news)
        self._news.append(news)


def _pin(ledger: Ledger, version: int) -> bool:
    """Keep the weights of a version that is to be played; return False, and give it up, if they are gone already.

    The registry drops all but the newest versions, and a learner can publish faster than evaluators play.
    """
    if ledger.resolve(CANDIDATE) == version:
        return True
    try:
        ledger.assign(CANDIDATE, version)
    except RunError:
        ledger.turn_down(version, "superseded", "its weights were dropped before it could be played")
        return False
    return True


def _played(line: Line, blocks: dict[str, Blocks], *, fresh: bool) -> dict[str, list[float]]:
    """Return a version's scores by game, of the blocks that chose it or of those after."""
    return {
        game: [
            score
            for block, scores in sorted(blocks.get(game, {}).items())
            if (block >= FRESH) == fresh
            for score in scores
        ]
        for game in line.games
    }


def _summary(score: GameScore) -> dict[str, Any]:
    return {"mean": score.mean, "interval": score.interval, "episodes": score.episodes}


def _state(
    line: Line, ledger: Ledger, current: int | None, best: int | None, scores: dict[int, dict[str, Blocks]]
) -> LineState:
    means: dict[str, float] = {}
    if best is not None:
        blocks = scores.get(best, {})
        chosen_by, fresh = _played(line, blocks, fresh=False), _played(line, blocks, fresh=True)
        known = {game: fresh[game] or chosen_by[game] for game in line.games}
        means = {game: sum(both) / len(both) for game, both in known.items() if both}
    verdicts = list(ledger.verdicts().values())
    return LineState(
        line.name,
        ledger.resolve("latest") or 0,
        best,
        means,
        current,
        len(ledger.promotions()),
        verdicts.count("superseded"),
    )
