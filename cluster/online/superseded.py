"""Plays, after the training, the versions of its last half that gave way to a newer one before anybody had played them.

Without them the spreads of a run's last half are those of a sample: evaluators that are slower than the learners play
only some of the versions.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from actors.evaluating_actor import EvaluationTask
from cluster.coordinator import Line, look_task
from cluster.ledger import Ledger, in_last_half
from cluster.model_mirror import ModelMirror
from cluster.online.backend import OnlineBackend
from cluster.online.session import OnlineSession
from cluster.run_session import EVALUATIONS
from cluster.sitting import Sitting

AT_ONCE = 16
"""Looks whose weights are in memory together."""


def play_superseded(session: OnlineSession, backend: OnlineBackend, sitting: Sitting) -> None:
    """Play what is left to play, and write down each result as it comes; a resumed run goes on with the others.

    A version plays what it would have played at its first look, emulators and random actions with the same seed. Its
    verdict stays.

    Args:
        session: a run whose training has ended.
        backend: that plays.
        sitting: of the run.
    """
    for line in session.lines:
        ledger = session.services.ledger(line.name)
        tasks = superseded_looks(session, line, ledger)
        while group := list(islice(tasks, AT_ONCE)):
            _play(session, backend, sitting, ledger, group)


def superseded_looks(session: OnlineSession, line: Line, ledger: Ledger) -> Iterator[EvaluationTask]:
    """Yield the first look at every version of a line's last half that gave way and was not played since.

    A version whose weights are gone is left out with a message.
    """
    left = _left(session, line, ledger)
    if left:
        versions = ", ".join(str(version) for version in dict.fromkeys(version for version, _ in left))
        session.note(f"{line.name}: playing versions of the last half that gave way to newer ones: {versions}")
    config, seed = session.config.promotion, session.config.general.seed
    mirror = ModelMirror(session.folder.path, line.name)
    for version, game in left:
        model = mirror.data(version)
        if model is None:
            session.note(f"{line.name} {version} cannot be played: its weights were dropped before they were set aside")
        else:
            yield look_task(line, version, game, 0, config.look_episodes, config, seed, model)


def _left(session: OnlineSession, line: Line, ledger: Ledger) -> list[tuple[int, str]]:
    """Return the versions of a line that are to be played and at which game, oldest first."""
    verdicts = ledger.verdicts()
    if not verdicts:
        return []
    newest = ledger.describe(max(verdicts))
    rows = session.folder.rows(EVALUATIONS)
    played = {(row["version"], row["game"]) for row in rows if (row["line"], row["block"]) == (line.name, 0)}
    return [
        (version, game)
        for version, verdict in sorted(verdicts.items())
        if verdict == "superseded" and in_last_half(ledger.describe(version), newest)
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
            # The picture is drawn of the session's rows, so what they lack is played again.
            ledger.add_scores(task.version, task.game, task.block, evaluation.scores)
            session.write_evaluation(task, evaluation)
