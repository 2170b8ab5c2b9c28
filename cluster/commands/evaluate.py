"""`distill evaluate`: play whole episodes with a model and print its scores."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console
from rich.table import Table

from actors.evaluation import Evaluation, EvaluationTask
from cluster.analysis.table import result_table
from cluster.commands.options import parse_options, write_or_print
from cluster.ray.cluster import RayCluster, available_cores
from cluster.ray.private import private_ray
from cluster.workers.episodes import evaluate_on_ray, evaluate_serially
from distill.config import Section, Share
from distill.errors import ConfigError, ModelFileError
from distill.files import begins_with, require_writable
from distill.game_names import Games
from distill.model_card import ModelCard, read_bounded, read_card, write_card
from distill.scores import GameScore, compare
from distill.teachers import find_teachers

log = logging.getLogger(__name__)


class EvaluateOptions(Section):
    """Play whole episodes with a model: no-op starts, fixed seeds, the same number of episodes from every emulator."""

    model: tyro.conf.Positional[Path]
    """Native model file of a student or a teacher."""
    games: Games = ()
    """Games to play; all of the model's if empty."""
    episodes: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Episodes per game."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators at a time."""
    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of emulators and random actions; the result does not depend on the number of cores."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files or folders, whose cards the student is compared with."""
    out: Path | None = None
    """JSON file for all scores and statistics; older ones are replaced, another file is not."""
    write_card: bool = False
    """Write the scores into the model file's card."""
    serial: bool = False
    """Play in this process, without Ray."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Evaluate a model."""
    options = parse_options(EvaluateOptions, arguments, "evaluate", EvaluateOptions.__doc__ or "")
    require_writable("out", options.out, ours=_is_evaluation, kind="scores of `distill evaluate`")
    card = read_card(options.model)
    if options.write_card:
        require_writable("write_card", options.model)
    unknown = set(options.games) - set(card.actions)
    if unknown:
        raise ConfigError(f"games: {options.model} plays {', '.join(card.actions)}, not {', '.join(sorted(unknown))}")
    evaluations: list[Evaluation] = []
    with console.status("playing", spinner="line"):
        for evaluation in _play(options, card):
            if evaluation is not None:
                evaluations.append(evaluation)
    _print(console, options, card, [evaluation.score() for evaluation in evaluations])
    document = [{**e.to_json(), "statistics": asdict(e.score())} for e in evaluations]
    if options.out is not None:
        write_or_print(options.out, document, console)
    if options.write_card:
        try:
            write_card(options.model, replace(card, scores=card.scores | {e.game: e.card_entry() for e in evaluations}))
        except ModelFileError as error:
            if options.out is not None:
                raise ModelFileError(f"{error}; the scores are in {options.out}") from error
            console.print_json(data=document)
            raise ModelFileError(f"{error}; the scores are printed above") from error


def _is_evaluation(path: Path) -> bool:
    return begins_with(path, b'"who":', b'"game":')


def _play(options: EvaluateOptions, card: ModelCard) -> Iterator[Evaluation | None]:
    model = read_bounded(options.model)
    tasks = [
        EvaluationTask(card.kind, game, 0, model, options.episodes, options.lanes, options.epsilon, options.seed)
        for game in options.games or card.actions
    ]
    if options.serial:
        yield from evaluate_serially(tasks)
        return
    cores = available_cores()
    with private_ray(cores) as trouble:
        cluster = RayCluster(cores, trouble=trouble)
        yield from evaluate_on_ray(tasks, cluster, lambda worker, reason: log.warning("%s: %s", worker.name, reason))


def _print(console: Console, options: EvaluateOptions, card: ModelCard, scores: Sequence[GameScore]) -> None:
    table = Table(
        caption=f"{card.kind} {options.model}, epsilon {options.epsilon:g}, up to 30 no-ops", show_lines=False
    )
    for column in ("game", "episodes", "mean", "95 % interval", "sd", "IQM", "human-normalised"):
        table.add_column(column, justify="left" if column == "game" else "right")
    for score in scores:
        interval = "n/a" if score.interval is None else f"{score.interval[0]:.2f} to {score.interval[1]:.2f}"
        human = "n/a" if score.human_normalised is None else f"{score.human_normalised:.3f}"
        numbers = (f"{score.mean:.2f}", interval, f"{score.standard_deviation:.2f}", f"{score.iqm:.2f}", human)
        table.add_row(score.game, str(score.episodes), *numbers)
    console.print(table)
    if card.kind == "student":
        places = [place for place in options.teachers if place.exists()]
        found = find_teachers(places)
        found.warn()
        cards = {teacher.game: teacher.scores for teacher in found.teachers if teacher.scores}
        pairs = [compare(s, GameScore.of(s.game, "teacher", 0, cards[s.game])) for s in scores if s.game in cards]
        if pairs:
            console.print("against the teachers' cards:")
            console.print(result_table(pairs)[0])
