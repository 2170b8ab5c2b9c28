"""What a finished run leaves behind: the best models with their scores, evaluation, table, learning curves, films."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.evaluation import Evaluation
from actors.video import record_episode
from cluster.analysis.curves import GameCurves, LastHalf, score_curve
from cluster.analysis.picture import draw_run
from cluster.analysis.table import result_table
from cluster.models.lineage import Lineage
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import read_promotions
from cluster.state.folder import EVALUATIONS, METRICS
from cluster.state.rows import evaluation_rows, looks, metrics_point, upgraded_metrics
from cluster.state.session import Session
from distill.files import write_atomically
from distill.games import SeedStream, reset_seed
from distill.inference import make_q_function
from distill.model_card import ModelCard
from distill.models import load_model, save_model
from distill.networks import QNetwork
from distill.protocols import STUDENT
from distill.scores import compare, summarise

log = logging.getLogger(__name__)

Played = Mapping[tuple[str, str], Evaluation]
"""Evaluations at the end of a run by player and game."""


def leave_results(session: Session, evaluations: Sequence[Evaluation], console: Console) -> None:
    """Write everything and print where it is.

    Args:
        session: a run that has ended, with a best version of every lineage.
        evaluations: of these at all their games, and of the fixed teachers; none if the final evaluation was left out.
        console: where to print.
    """
    played = {(evaluation.who, evaluation.game): evaluation for evaluation in evaluations}
    rows = evaluation_rows(session.folder.rows(EVALUATIONS, looks))
    metrics = [upgraded_metrics(row) for row in session.folder.rows(METRICS, metrics_point)]
    teachers = {game: teacher.scores for game, teacher in session.teachers.items()}
    for lineage in session.kind.lineages:
        path = _save(session, lineage, played, rows)
        console.print(f"{lineage.name}: {path}", soft_wrap=True)
    with session.unwritten.outlived("picture"):
        draw_run(session.folder, session.kind.lineages, teachers, rows, metrics)
    if played:
        _write_scores(session, played, rows, metrics, console)


def _save(session: Session, lineage: Lineage, played: Played, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a lineage's best version as a model file with its scores, and films of it; return the file."""
    folder = session.folder
    mirror = ModelMirror(folder.path, lineage.name)
    network, card = load_model(mirror.require_data(mirror.names()["best"]))
    scores = {
        game: played[lineage.player, game].card_entry() for game in lineage.games if (lineage.player, game) in played
    }
    mine = [row for row in rows if row["lineage"] == lineage.name]
    training: dict[str, Any] = card.training | {"promoted_by": session.kind.rule.name, "curve": score_curve(mine)}
    path = folder.student if lineage.name == STUDENT else folder.path / f"{lineage.name}.safetensors"
    # A candidate was published in float16, so its weights are stored as they were played.
    dtype = "float32" if lineage.who == "student" else "float16"
    save_model(path, network, replace(card, scores=scores, training=training), dtype)
    if session.config.general.video:
        _film(session, lineage, network, card)
    return path


def _film(session: Session, lineage: Lineage, network: QNetwork, card: ModelCard) -> None:
    q_function = make_q_function(network)
    directory: Path = session.folder.path / "videos"
    for game in card.actions:
        path = directory / (f"{game}.mp4" if lineage.leads else f"{game}-{lineage.name}.mp4")
        with session.unwritten.outlived("film"):
            directory.mkdir(exist_ok=True)
            recording = record_episode(
                path,
                game,
                lambda observations, game=game: q_function(observations, game),
                epsilon=session.kind.final.epsilon,
                seed=reset_seed(session.config.general.seed, SeedStream.FILMS),
            )
            log.info("%s: score %.0f after %d steps", path, recording.score, recording.steps)


def _write_scores(
    session: Session,
    played: Played,
    rows: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    console: Console,
) -> None:
    comparisons = [
        compare(played["student", game].score(), played["teacher", game].score())
        for game in session.games
        if ("student", game) in played
    ]
    document: dict[str, Any] = {"evaluations": [evaluation.to_json() for evaluation in played.values()]}
    if comparisons:
        table, markdown = result_table(comparisons)
        write_atomically(session.folder.path / "table.md", markdown.encode())
        document |= {
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "geometric_mean": asdict(summarise(comparisons)),
            "last_half": {
                game: asdict(_last_half(session, lineage.name, game, rows, metrics))
                for game in session.games
                if (lineage := session.kind.teacher_of(game)) is not None
            },
        }
        console.print(table)
    session.folder.write_json(session.folder.evaluation.name, document)


def _last_half(
    session: Session,
    lineage: str,
    game: str,
    rows: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
) -> LastHalf:
    curves = GameCurves.of(rows, read_promotions(session.folder.path, lineage), metrics, lineage, game)
    return LastHalf.of(game, lineage, curves, metrics)
