"""Plays all versions of a run's last half after the training, the same number of fresh episodes each.

What is played during the training decides on promotions: few episodes, more for some versions than for others, and none
for those that gave way to a newer one. It says little of how steady a line is.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from actors.evaluation import EvaluationTask
from cluster.models.coordinator import CURVE, Line
from cluster.models.ledger import Ledger, in_last_half
from cluster.models.mirror import ModelMirror
from cluster.run.surroundings import Sitting
from cluster.state.folder import EVALUATIONS
from cluster.state.online_session import OnlineSession
from cluster.workers.online_on_ray import OnlineBackend
from distill.games import SeedStream, reset_seed

AT_ONCE = 16
"""Versions whose weights are in memory together."""


def play_last_half(session: OnlineSession, backend: OnlineBackend, sitting: Sitting) -> None:
    """Play `curve_episodes` of every version, and write down each result as it comes.

    A run that is stopped meanwhile goes on with the others when it is resumed. Nothing is promoted.

    Args:
        session: a run whose training has ended.
        backend: that plays.
        sitting: of the run.
    """
    if not session.config.promotion.curve_episodes:
        return
    for line in session.lines:
        tasks = last_half_tasks(session, line)
        ledger = session.services.ledger(line.name)
        while group := list(islice(tasks, AT_ONCE)):
            _play(session, backend, sitting, ledger, group)


def last_half_tasks(session: OnlineSession, line: Line) -> Iterator[EvaluationTask]:
    """Yield what a line's versions have to play, oldest first; one whose weights are gone is told and left out."""
    mirror = ModelMirror(session.folder.path, line.name)
    left = _left(session, line, mirror)
    config = session.config.promotion
    seed = reset_seed(session.config.general.seed, SeedStream.PROMOTION, CURVE)
    if left:
        versions = ", ".join(str(version) for version in dict.fromkeys(version for version, _ in left))
        session.note(f"{line.name}: {config.curve_episodes} episodes of each version of the last half: {versions}")
    for version, game in left:
        model = mirror.data(version)
        if model is None:
            session.note(f"{line.name} {version} cannot be played: its weights were dropped before they were set aside")
            continue
        yield EvaluationTask(
            who=line.who,
            game=game,
            version=version,
            model=model,
            episodes=config.curve_episodes,
            lanes=config.eval_lanes,
            epsilon=config.eval_epsilon,
            seed=seed,
            line=line.name,
            block=CURVE,
        )


def _left(session: OnlineSession, line: Line, mirror: ModelMirror) -> list[tuple[int, str]]:
    """Return the versions that are to be played and at which game, oldest first."""
    metadata = {version: mirror.metadata(version) for version in mirror.versions()}
    rows = session.folder.rows(EVALUATIONS)
    played = {(row["version"], row["game"]) for row in rows if (row["line"], row["block"]) == (line.name, CURVE)}
    return [
        (version, game)
        for version, described in metadata.items()
        if in_last_half(described, metadata[max(metadata)])
        for game in line.games
        if (version, game) not in played
    ]


def _play(
    session: OnlineSession,
    backend: OnlineBackend,
    sitting: Sitting,
    ledger: Ledger,
    tasks: Sequence[EvaluationTask],
) -> None:
    by_version = {(task.version, task.game): task for task in tasks}
    for evaluation in sitting.over(backend.evaluate(tasks), session):
        if evaluation is not None:
            task = by_version[evaluation.version, evaluation.game]
            # The curves are drawn of the session's rows, so what they lack is played again.
            ledger.add_scores(task.version, task.game, task.block, evaluation.scores)
            session.write_evaluation(task, evaluation)
            score = evaluation.score()
            session.note(f"{task.line} {task.version} at {task.game}: mean {score.mean:.2f} of {score.episodes}")
