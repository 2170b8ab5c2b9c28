"""Decides which version of each lineage is the best: hands out episodes to play, takes their scores, promotes.

All its state is in the lineages' ledgers, so a coordinator that is killed at any point goes on where it was: scores are
noted by block, a verdict is given once, and what is to be played follows from both. Only whose turn it is among several
lineages begins anew.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.evaluation import Evaluation, EvaluationTask, Purpose
from cluster.models.blocks import block_seed
from cluster.models.decisions import Blocks, Promotion
from cluster.models.folder_ledger import AnyLedger
from cluster.models.lineage import Lineage
from cluster.models.record import LineageRecord
from distill.errors import BufferUnavailable
from distill.promotion import Rule, decide, mean_ratio
from distill.scores import GameScore

CANDIDATE = "candidate"
"""Name of the version that is being played."""
TOLD = 8
"""Newest candidates of a lineage whose scores a coordinator tells when it begins."""


class Ledgers(Protocol):
    """Where a coordinator finds the ledger of a lineage."""

    def ledger(self, lineage: str) -> AnyLedger:
        """Connect to a lineage's ledger."""
        ...


@dataclass(frozen=True)
class LineageState:
    """How far a lineage has come.

    Attributes:
        lineage: its name.
        newest: newest version.
        best: the promoted version, None before the first.
        best_means: its mean score per game.
        candidate: version that is being played, None if none is.
        promotions: how many there were.
        superseded: candidates that gave way to a newer one before anybody played them.
    """

    lineage: str
    newest: int
    best: int | None
    best_means: dict[str, float]
    candidate: int | None
    promotions: int
    superseded: int


@dataclass(frozen=True)
class Judged:
    """What was decided on a candidate.

    Attributes:
        lineage: its lineage.
        version: which.
        score: by which versions of the lineage can be ranked: the mean over games of its ratio to the fixed teachers,
            or of its mean score where there are none.
    """

    lineage: str
    version: int
    score: float


@dataclass(frozen=True)
class Orders:
    """What a coordinator says.

    Attributes:
        tasks: what to play next, the most urgent first.
        lineages: state of every lineage.
        news: what was decided since the last call, a sentence each.
        judged: candidates that were decided on after play, each once, and again after a coordinator was replaced.
    """

    tasks: tuple[EvaluationTask, ...]
    lineages: tuple[LineageState, ...]
    news: tuple[str, ...]
    judged: tuple[Judged, ...] = ()


class Coordinator:
    """Plays a run's candidates against the best so far; `cluster.workers.remote_coordinator` puts it behind Ray.

    Args:
        lineages: the run's lineages.
        ledgers: where their state is.
        rule: how candidates are played and promoted.
        seed: the run's seed.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        lineages: Sequence[Lineage],
        ledgers: Ledgers,
        rule: Rule,
        seed: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lineages = [(lineage, ledgers.ledger(lineage.name)) for lineage in lineages]
        self._rule = rule
        self._seed = seed
        self._clock = clock
        self._news: list[str] = []
        self._told: set[tuple[str, int]] = set()

    def advance(
        self, results: Sequence[tuple[EvaluationTask, Evaluation]], playing: EvaluationTask | None = None
    ) -> Orders:
        """Take results, decide what they allow, and say what to play next.

        The registry then holds all that is to be played: what it has lost comes back from the run's folder first.

        Args:
            results: giving the same one twice changes nothing.
            playing: the task that is being played. Its candidate does not give way to a newer one: where candidates
                come faster than they can be played, none would ever be decided on.

        Raises:
            BufferUnavailable: if the registry is out of reach; the results must be given again.
        """
        ledgers = {lineage.name: ledger for lineage, ledger in self._lineages}
        for task, evaluation in results:
            ledgers[task.lineage].add_scores(task, evaluation.scores)
            # The lineage that was played last comes last: one whose candidates never end must not keep out the others.
            self._lineages.sort(key=lambda pair, played=task.lineage: pair[0].name == played)
        urgent: list[EvaluationTask] = []
        rest: list[EvaluationTask] = []
        records: list[tuple[Lineage, int | None, LineageRecord]] = []
        for lineage, ledger in self._lineages:
            current = self._decide(lineage, ledger, playing)
            record = ledger.synchronise()
            records.append((lineage, current, record))
            best, blocks = record.names.get("best"), record.decisions.blocks
            # One whose bytes are nowhere, because somebody has removed them, would be waited for without end.
            if best is not None and self._rule.best_episodes and ledger.has(best):
                fresh = self._tasks(lineage, best, blocks.get(best, {}), "fresh", self._rule.best_episodes)
                # Until the best model has its first fresh episodes, candidates are compared with those that flatter
                # it. More of them make later decisions better; a candidate's make one now.
                urgent += [task for task in fresh if task.block == 0]
                rest += [task for task in fresh if task.block != 0]
            if current is not None:
                urgent += self._tasks(lineage, current, blocks.get(current, {}), "look", self._rule.most_episodes)
        # From here on nothing can fail, so what is said once does arrive.
        judged = [judged for lineage, _, record in records for judged in self._untold(lineage, record)]
        news, self._news = tuple(self._news), []
        return Orders((*urgent, *rest), tuple(_state(*known) for known in records), news, tuple(judged))

    def ask(
        self, results: Sequence[tuple[EvaluationTask, Evaluation]], playing: EvaluationTask | None = None
    ) -> Orders | str:
        """Do what `advance` does, or return why the registry cannot be reached now: then ask again."""
        try:
            return self.advance(results, playing)
        except BufferUnavailable as error:
            return str(error)

    def _decide(self, lineage: Lineage, ledger: AnyLedger, playing: EvaluationTask | None) -> int | None:
        """Give verdicts until one candidate, or none, is left to play; return it."""
        while True:
            record = ledger.synchronise()
            scores = record.decisions.blocks
            waiting = [v for v in range(1, record.newest + 1) if v not in record.decisions.verdicts]
            if not waiting:
                return None
            if self._rule.curve_episodes:
                for version in waiting:
                    ledger.set_aside(version)
            begun = [
                v
                for v in waiting
                if v in scores or (playing and (playing.lineage, playing.version) == (lineage.name, v))
            ]
            current = begun[0] if begun else waiting[-1]
            for version in waiting[:-1]:
                # The queue stays bounded: whatever was not begun gives way to the newest.
                if version != current and ledger.turn_down(version, "superseded", "a newer one was there"):
                    self._tell(f"{lineage.name} {version} is not evaluated: a newer one was waiting")
            if not ledger.has(current):
                ledger.turn_down(current, "superseded", "its weights were removed from the run's folder")
                self._tell(f"{lineage.name} {current} is given up: its weights are neither in Redis nor in the folder")
                continue
            if record.names.get(CANDIDATE) != current:
                # A learner can publish faster than evaluators play: what is being played is kept by its name.
                ledger.assign(CANDIDATE, current)
            if not self._judge(lineage, ledger, current, record):
                return current

    def _judge(self, lineage: Lineage, ledger: AnyLedger, version: int, record: LineageRecord) -> bool:
        """Decide on a candidate; return whether that is done."""
        blocks, best = record.decisions.blocks, record.names.get("best")
        played = _played(lineage, blocks.get(version, {}), "look")
        decision = decide(
            played, None if best is None else self._scores_of_best(lineage, blocks.get(best, {})), self._rule
        )
        if decision.verdict == "continue":
            return False
        means = ", ".join(
            f"{game} {GameScore.of(game, lineage.who, version, s).mean:.1f}" for game, s in played.items()
        )
        if decision.verdict == "reject":
            if ledger.turn_down(version, "rejected", decision.why):
                self._tell(f"{lineage.name} {version} is not promoted: {means}; {decision.why}")
        else:
            details = {game: _summary(GameScore.of(game, lineage.who, version, s)) for game, s in played.items()}
            promotion = Promotion(version, best, lineage.names, details, self._clock(), decision.why)
            if ledger.promote(promotion):
                self._tell(f"{lineage.name} {version} is promoted: {means}; {decision.why}")
        return True

    def _untold(self, lineage: Lineage, record: LineageRecord) -> list[Judged]:
        """Return the scores of the newest candidates that were decided on after play, of those not told yet.

        A coordinator that was killed may have told nobody what it had decided; the next one tells it again.
        """
        decisions, blocks = record.decisions, record.decisions.blocks
        decided = sorted(version for version, given in decisions.verdicts.items() if given["verdict"] != "superseded")
        found: list[Judged] = []
        for version in decided[-TOLD:]:
            played = _played(lineage, blocks.get(version, {}), "look")
            if (lineage.name, version) not in self._told and all(played.values()):
                self._told.add((lineage.name, version))
                found.append(Judged(lineage.name, version, mean_ratio(played, self._rule.teachers)))
        return found

    def _scores_of_best(self, lineage: Lineage, blocks: Mapping[str, Blocks]) -> dict[str, list[float]]:
        fresh = _played(lineage, blocks, "fresh", "curve")
        enough = all(len(scores) >= self._rule.look_episodes for scores in fresh.values())
        return fresh if enough else _played(lineage, blocks, "look")

    def _tasks(
        self, lineage: Lineage, version: int, blocks: Mapping[str, Blocks], purpose: Purpose, most: int
    ) -> list[EvaluationTask]:
        """Return the next block of every game that has fewer than `most` episodes, the game with the fewest first."""
        rule = self._rule
        tasks: list[EvaluationTask] = []
        for game in lineage.games:
            mine = [len(scores) for scores in blocks.get(game, {}).get(purpose, {}).values()]
            left = most - sum(mine)
            if left > 0:
                block = len(mine)
                episodes = min(rule.look_episodes, left)
                lanes = min(rule.lanes or episodes, episodes)
                seed = block_seed(self._seed, purpose, block)
                tasks.append(
                    EvaluationTask(
                        *(lineage.who, game, version, None, episodes, lanes, rule.epsilon, seed),
                        *(lineage.name, purpose, block),
                    )
                )
        return sorted(tasks, key=lambda task: task.block)

    def _tell(self, news: str) -> None:
        self._news.append(news)


def _played(lineage: Lineage, blocks: Mapping[str, Blocks], *purposes: Purpose) -> dict[str, list[float]]:
    """Return a version's scores by game, of the blocks for these purposes."""
    return {
        game: [
            score
            for purpose in purposes
            for _, scores in sorted(blocks.get(game, {}).get(purpose, {}).items())
            for score in scores
        ]
        for game in lineage.games
    }


def _summary(score: GameScore) -> dict[str, Any]:
    return {"mean": score.mean, "interval": score.interval, "episodes": score.episodes}


def _state(lineage: Lineage, current: int | None, record: LineageRecord) -> LineageState:
    best, decisions = record.names.get("best"), record.decisions
    means: dict[str, float] = {}
    if best is not None:
        blocks = decisions.blocks.get(best, {})
        chosen_by, fresh = _played(lineage, blocks, "look"), _played(lineage, blocks, "fresh", "curve")
        known = {game: fresh[game] or chosen_by[game] for game in lineage.games}
        means = {game: sum(both) / len(both) for game, both in known.items() if both}
    verdicts = [given["verdict"] for given in decisions.verdicts.values()]
    return LineageState(
        lineage.name, record.newest, best, means, current, len(decisions.promotions), verdicts.count("superseded")
    )
