"""What a finished run with Q-learners leaves behind: teacher files, the student, scores, a picture, videos."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.evaluation import Evaluation
from actors.video import record_episode
from cluster.analysis.curves import GameCurves, LastHalf, score_curve
from cluster.analysis.picture import draw_run
from cluster.analysis.table import result_table
from cluster.models.ledger import read_promotions
from cluster.state.folder import EVALUATIONS, METRICS
from cluster.state.online_session import OnlineSession
from distill.files import write_atomically
from distill.games import SeedStream, reset_seed
from distill.inference import make_q_function
from distill.model_card import ModelCard
from distill.models import load_model, save_model
from distill.networks import QNetwork
from distill.protocols import STUDENT
from distill.scores import compare, summarise


def write_outcome(session: OnlineSession, evaluations: Sequence[Evaluation], console: Console) -> None:
    """Write everything and print where it is.

    Args:
        session: a run that has ended.
        evaluations: of the best versions of all lines at all their games; none if the final evaluation was left out.
        console: where to print.
    """
    folder = session.folder
    played = {(evaluation.who, evaluation.game): evaluation for evaluation in evaluations}
    for line in session.lines:
        registry = session.services.registry(line.name)
        version = registry.resolve("best")
        if version is None:
            console.print(f"{line.name}: no version was evaluated yet", soft_wrap=True)
            continue
        network, card = load_model(registry.fetch(version))
        who = "teacher" if line.who == "candidate" else line.who
        scores = {game: played[who, game].card_entry() for game in line.games if (who, game) in played}
        rows = [row for row in folder.rows(EVALUATIONS) if row["line"] == line.name]
        training: dict[str, Any] = card.training | {"curve": score_curve(rows)}
        path = folder.student if line.name == STUDENT else folder.path / f"{line.name}.safetensors"
        # A candidate was published in float16, so its weights are stored as they were played.
        dtype = "float32" if line.name == STUDENT else "float16"
        save_model(path, network, replace(card, scores=scores, training=training), dtype)
        console.print(f"{line.name}: {path}", soft_wrap=True)
        if session.config.general.video:
            _film(session, line.name, network, card)
    draw_run(session.folder)
    if played:
        _write_scores(session, played, console)


def _film(session: OnlineSession, line: str, network: QNetwork, card: ModelCard) -> None:
    q_function = make_q_function(network)
    directory: Path = session.folder.path / "videos"
    directory.mkdir(exist_ok=True)
    for game in card.actions:
        name = f"{game}.mp4" if line != STUDENT else f"{game}-{STUDENT}.mp4"
        record_episode(
            directory / name,
            game,
            lambda observations, game=game: q_function(observations, game),
            epsilon=session.config.promotion.eval_epsilon,
            seed=reset_seed(session.config.general.seed, SeedStream.FILMS),
        )


def _write_scores(session: OnlineSession, played: dict[tuple[str, str], Evaluation], console: Console) -> None:
    comparisons = [
        compare(played["student", game].score(), played["teacher", game].score())
        for game in session.config.general.games
        if ("student", game) in played
    ]
    document: dict[str, Any] = {"evaluations": [evaluation.to_json() for evaluation in played.values()]}
    if comparisons:
        table, markdown = result_table(comparisons)
        write_atomically(session.folder.path / "table.md", markdown.encode())
        document |= {
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "geometric_mean": asdict(summarise(comparisons)),
            "last_half": {game: asdict(_last_half(session, game)) for game in session.config.general.games},
        }
        console.print(table)
    session.folder.write_json(session.folder.evaluation.name, document)


def _last_half(session: OnlineSession, game: str) -> LastHalf:
    folder = session.folder
    line = next(line.name for line in session.lines if line.name != STUDENT and game in line.games)
    metrics = folder.rows(METRICS)
    curves = GameCurves.of(folder.rows(EVALUATIONS), read_promotions(folder.path, line), metrics, line, game)
    return LastHalf.of(game, line, curves, metrics)
