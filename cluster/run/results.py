"""What a finished run leaves behind: best student with its scores, evaluation JSON, table, learning curve, videos."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

from rich.console import Console

from actors.evaluation import Evaluation
from actors.video import record_episode
from cluster.analysis.table import learning_curve, result_table
from cluster.state.folder import EVALUATIONS, METRICS
from cluster.state.session import Session
from distill.files import write_atomically
from distill.games import SeedStream, reset_seed
from distill.inference import make_q_function
from distill.models import load_model, save_model
from distill.scores import Comparison, compare, summarise

log = logging.getLogger(__name__)


def write_outcome(session: Session, evaluations: Sequence[Evaluation], console: Console) -> None:
    """Write everything and print the table.

    Args:
        session: a run that has ended, with a best version.
        evaluations: of teachers and best student, both at every game; none if the final evaluation was left out.
        console: where to print.
    """
    assert session.best is not None, "a run that has ended has evaluated its last version"
    folder = session.folder
    network, card = load_model(session.registry.fetch(session.best.version))
    played = {(evaluation.who, evaluation.game): evaluation for evaluation in evaluations}
    scores = {game: played["student", game].card_entry() for game in session.teachers if ("student", game) in played}
    save_model(folder.student, network, replace(card, scores=scores))
    learning_curve(
        folder.path / "learning_curve.png",
        folder.rows(EVALUATIONS),
        {game: teacher.scores for game, teacher in session.teachers.items()},
        folder.rows(METRICS),
    )
    if session.config.general.video:
        q_function = make_q_function(network)
        (folder.path / "videos").mkdir(exist_ok=True)
        for game in session.teachers:
            path = folder.path / "videos" / f"{game}.mp4"
            recording = record_episode(
                path,
                game,
                lambda observations, game=game: q_function(observations, game),
                epsilon=session.config.evaluation.eval_epsilon,
                seed=reset_seed(session.config.general.seed, SeedStream.FILMS),
            )
            log.info("%s: score %.0f after %d steps", path, recording.score, recording.steps)
    if scores:
        comparisons = [
            compare(played["student", game].score(), played["teacher", game].score()) for game in session.teachers
        ]
        _write_comparisons(session, comparisons, evaluations, console)
    console.print(f"student: {folder.student}", soft_wrap=True)


def _write_comparisons(
    session: Session, comparisons: Sequence[Comparison], evaluations: Sequence[Evaluation], console: Console
) -> None:
    assert session.best is not None, "the comparisons are of the best version"
    table, markdown = result_table(comparisons)
    write_atomically(session.folder.path / "table.md", markdown.encode())
    session.folder.write_json(
        session.folder.evaluation.name,
        {
            "student_version": session.best.version,
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "geometric_mean": asdict(summarise(comparisons)),
            "evaluations": [evaluation.to_json() for evaluation in evaluations],
        },
    )
    console.print(table)
