"""What is played after the training: every version of the last half for the curves, and at the end the best models.

What is played during the training decides on promotions: few episodes, more for some versions than for others, and none
for those that gave way to a newer one. It says little of how steady a lineage is.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.blocks import block_seed
from cluster.models.folder_ledger import AnyLedger
from cluster.models.lineage import Lineage
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import in_last_half
from cluster.run.surroundings import Surroundings
from cluster.state.folder import EVALUATIONS, LOG
from cluster.state.rows import evaluation_rows, looks
from cluster.state.session import Session
from distill.errors import BufferUnavailable, RunError
from distill.games import SeedStream, reset_seed

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Versions whose weights are in memory together."""

Evaluate = Callable[[Sequence[EvaluationTask]], Iterator[Evaluation | None]]


def play_last_half(session: Session, evaluate: Evaluate, surroundings: Surroundings) -> None:
    """Play `curve_episodes` of every version, and write down each result as it comes.

    A run that is stopped meanwhile goes on with the others when it is resumed. Nothing is promoted.

    Args:
        session: a run whose training has ended.
        evaluate: plays tasks.
        surroundings: of the run.
    """
    if not session.kind.rule.curve_episodes:
        return
    for lineage in session.kind.lineages:
        tasks = last_half_tasks(session, lineage)
        ledger = session.services.ledger(lineage.name)
        while group := list(islice(tasks, AT_ONCE)):
            _play(session, evaluate, surroundings, ledger, group)


def last_half_tasks(session: Session, lineage: Lineage) -> Iterator[EvaluationTask]:
    """Yield what a lineage's versions have to play, oldest first; one whose weights are gone is told and left out."""
    mirror = ModelMirror(session.folder.path, lineage.name)
    left = _left(session, lineage, mirror)
    rule, final = session.kind.rule, session.kind.final
    seed = block_seed(session.config.general.seed, "curve", 0)
    if left:
        versions = ", ".join(str(version) for version in dict.fromkeys(version for version, _ in left))
        session.note(f"{lineage.name}: {rule.curve_episodes} episodes of each version of the last half: {versions}")
    for version, game in left:
        model = mirror.data(version)
        if model is None:
            session.note(f"{lineage.name} {version} cannot be played: its weights are not in the run's folder any more")
            continue
        yield EvaluationTask(
            who=lineage.who,
            game=game,
            version=version,
            model=model,
            episodes=rule.curve_episodes,
            lanes=final.lanes,
            epsilon=final.epsilon,
            seed=seed,
            lineage=lineage.name,
            purpose="curve",
        )


def _left(session: Session, lineage: Lineage, mirror: ModelMirror) -> list[tuple[int, str]]:
    """Return the versions that are to be played and at which game, oldest first."""
    metadata = {version: mirror.metadata(version) for version in mirror.versions()}
    rows = evaluation_rows(session.folder.rows(EVALUATIONS, looks))
    played = {
        (row["version"], row["game"]) for row in rows if (row["lineage"], row["purpose"]) == (lineage.name, "curve")
    }
    return [
        (version, game)
        for version, described in metadata.items()
        if in_last_half(described, metadata[max(metadata)])
        for game in lineage.games
        if (version, game) not in played
    ]


def _play(
    session: Session,
    evaluate: Evaluate,
    surroundings: Surroundings,
    ledger: AnyLedger,
    tasks: Sequence[EvaluationTask],
) -> None:
    by_version = {(task.version, task.game): task for task in tasks}
    for evaluation in surroundings.over(evaluate(tasks), session):
        if evaluation is not None:
            task = by_version[evaluation.version, evaluation.game]
            # The curves are drawn of the session's rows, so what they lack is played again.
            _note_scores(ledger, task, evaluation)
            session.write_evaluation(task, evaluation)
            score = evaluation.score()
            session.note(f"{task.lineage} {task.version} at {task.game}: mean {score.mean:.2f} of {score.episodes}")


def _note_scores(ledger: AnyLedger, task: EvaluationTask, evaluation: Evaluation) -> None:
    try:
        ledger.add_scores(task, evaluation.scores)
    except BufferUnavailable as error:
        log.warning("the run's folder has scores that Redis gets when the ledger is next used: %s", error)


def evaluate_best(session: Session, evaluate: Evaluate, surroundings: Surroundings) -> list[Evaluation]:
    """Play the best version of every lineage, and the fixed teachers, at all their games; return the evaluations.

    Args:
        session: a run whose training has ended.
        evaluate: plays tasks.
        surroundings: of the run.

    Raises:
        RunError: if a lineage has no best version, or its weights are gone.
    """
    tasks = _final_tasks(session)
    evaluations: list[Evaluation] = []
    if tasks:
        session.note(f"final evaluation: {session.kind.final.episodes} episodes per game of the best models")
    for evaluation in surroundings.over(evaluate(tasks), session):
        if evaluation is not None:
            score = evaluation.score()
            session.note(f"{score.game}, {score.who}: mean {score.mean:.2f} of {score.episodes} episodes")
            evaluations.append(evaluation)
    return evaluations


def _final_tasks(session: Session) -> list[EvaluationTask]:
    final, seed = session.kind.final, reset_seed(session.config.general.seed, SeedStream.FINAL)
    # The folder has all that was promoted, whatever has become of Redis.
    mirrors = [(lineage, ModelMirror(session.folder.path, lineage.name)) for lineage in session.kind.lineages]
    best = [(lineage, mirror, _best(session, lineage, mirror)) for lineage, mirror in mirrors]
    if not final.episodes:
        return []
    players: list[tuple[str, str, int, bytes, str]] = []
    for lineage, mirror, version in best:
        model = mirror.require_data(version)
        players += [(lineage.player, game, version, model, lineage.name) for game in lineage.games]
    players += [("teacher", game, 0, teacher.data, "teacher") for game, teacher in session.teachers.items()]
    return [
        EvaluationTask(who, game, version, model, final.episodes, final.lanes, final.epsilon, seed, lineage)
        for who, game, version, model, lineage in sorted(players, key=lambda player: player[1])
    ]


def _best(session: Session, lineage: Lineage, mirror: ModelMirror) -> int:
    version = mirror.names().get("best")
    if version is None:
        raise RunError(
            f"run {session.folder.name}: no version of {lineage.name} was ever evaluated, see"
            f" {session.folder.path / LOG}; train for longer"
        )
    return version
