"""The rows of `scores.jsonl`: raw scores of every episode that the cells of an experiment have played at their end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from cluster.experiment.design import Cell
from cluster.state.folder import METRICS, RunFolder
from cluster.state.json_lines import append_line, read_lines
from cluster.state.rows import metrics_point
from distill.errors import RunError
from distill.protocols import STUDENT

Player = Literal["student", "q_learner", "teacher"]


@dataclass(frozen=True)
class ScoreRow:
    """What one player of one cell scored at one game.

    Attributes:
        cell: name of the cell.
        identity: what decides on the cell's scores; see `Cell.identity`.
        variant: key of what is compared.
        games: that the cell trained.
        seed: of the cell.
        game: ROM name of the game that was played.
        player: what the cell trained, or the fixed teacher beside it.
        scores: raw scores of whole episodes.
        updates: that the player's learner made; 0 for a fixed teacher.
        transitions: of the game that it learned from; 0 for a fixed teacher.
        seconds: of training.
        commit: of the program that ran the cell.
        last_half: of an online cell, what `cluster.analysis.curves.LastHalf` holds; else None.
    """

    cell: str
    identity: Mapping[str, Any]
    variant: str
    games: Sequence[str]
    seed: int
    game: str
    player: Player
    scores: Sequence[float]
    updates: int
    transitions: int
    seconds: float
    commit: str
    last_half: Mapping[str, float | None] | None = None


def rows_of(cell: Cell, folder: RunFolder, identity: Mapping[str, Any]) -> list[ScoreRow]:
    """Return what a finished run says of its cell.

    Args:
        cell: the cell.
        folder: of its run.
        identity: of the cell.

    Raises:
        RunError: if the run has no whole evaluation at its end.
    """
    try:
        document = json.loads(folder.evaluation.read_bytes())
        played = [_played(evaluation) for evaluation in document["evaluations"]]
        last_half = cast(Mapping[str, Any], document.get("last_half") or {})
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder.evaluation}: expected the evaluation of a finished run, found {error!r}") from error
    points = folder.rows(METRICS, metrics_point)
    learners = metrics_point(points[-1]).learners if points else {}
    rows: list[ScoreRow] = []
    for who, game, scores in played:
        player = _player(cell, who)
        lineage = STUDENT if player == "student" else next((name for name in learners if name != STUDENT), "")
        learner = None if player == "teacher" else learners.get(lineage)
        rows.append(
            ScoreRow(
                cell.name, identity, cell.variant, cell.games, cell.seed, game, player, scores,
                updates=learner.updates if learner else 0,
                transitions=learner.inserted.get(game, 0) if learner else 0,
                seconds=round(learner.seconds, 1) if learner else 0.0,
                commit=folder.commit(),
                last_half=last_half.get(game),
            )
        )  # fmt: skip
    return rows


def append_rows(path: Path, rows: Sequence[ScoreRow]) -> None:
    """Append the rows of a cell.

    Raises:
        RunError: if the disk refuses.
    """
    try:
        for row in rows:
            append_line(path, asdict(row))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}; check the folder") from error


def read_rows(path: Path) -> list[ScoreRow]:
    """Return all rows, none if the file is absent; of a row that is there twice, the newer one.

    Raises:
        RunError: if a line is damaged: a result that lacks some of its scores would look like another result.
    """
    try:
        rows, damaged = read_lines(path, _parse)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    if damaged:
        raise RunError(f"{path}: expected rows of scores, found {damaged} damaged lines; remove these, and run again")
    return list({(row.cell, row.game, row.player): row for row in rows}.values())


def _played(evaluation: Mapping[str, Any]) -> tuple[str, str, tuple[float, ...]]:
    return str(evaluation["who"]), str(evaluation["game"]), tuple(float(score) for score in evaluation["scores"])


def _player(cell: Cell, who: str) -> Player:
    if who == "student":
        return "student"
    return "teacher" if cell.command == "run" else "q_learner"


def _parse(row: Mapping[str, Any]) -> ScoreRow:
    found = ScoreRow(**row)
    if not found.scores:
        raise ValueError("scores of no episode")
    return found
