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
from distill.evaluation_protocols import (
    PROTOCOLS,
    EvaluationProtocol,
    Fire,
    LifeLoss,
    ProtocolName,
    trained_under,
)
from distill.files import begins_with, require_writable
from distill.game_names import Games
from distill.model_card import MAX_SCORE, ModelCard, read_bounded, read_card, write_card
from distill.reproduction import Reproduction, with_entries
from distill.scores import GameScore, compare
from distill.teachers import find_teachers

log = logging.getLogger(__name__)


class EvaluateOptions(Section):
    """Play whole episodes with a model: fixed seeds, the same number of episodes from every emulator."""

    model: tyro.conf.Positional[Path]
    """Native model file of a student or a teacher."""
    games: Games = ()
    """Games to play; all of the model's if empty."""
    episodes: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Episodes per game."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators at a time."""
    protocol: ProtocolName = "distill"
    """How episodes begin, go on and end; others than distill are for comparing with their authors' scores."""
    epsilon: Share | None = None
    """Share of uniformly random actions; the protocol's if absent, and so for those below."""
    sticky_actions: Share | None = None
    """Probability in every frame that the action before is repeated."""
    noop_max: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Bound of the no-ops that begin an episode."""
    fire: Fire | None = None
    """FIRE at the beginning: never, for one frame before the no-ops, or for one step after them."""
    life_loss: LifeLoss | None = None
    """What a lost life does: the game goes on, or begins anew with a no-op, FIRE and an empty stack of frames."""
    max_frames: Annotated[int, Field(ge=4, le=10_000_000)] | None = None
    """Emulator frames after which an episode is cut off."""
    reported: Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE)] | None = None
    """The mean score that the author reports, to be compared with; of one game."""
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
    protocol = _protocol(options)
    unknown = set(options.games) - set(card.actions)
    if unknown:
        raise ConfigError(f"games: {options.model} plays {', '.join(card.actions)}, not {', '.join(sorted(unknown))}")
    if options.reported is not None and len(options.games or card.actions) != 1:
        raise ConfigError("reported: it is of one game; name that with --games")
    evaluations: list[Evaluation] = []
    with console.status("playing", spinner="line"):
        for evaluation in _play(options, card, protocol):
            if evaluation is not None:
                evaluations.append(evaluation)
    _print(console, options, card, protocol, [evaluation.score() for evaluation in evaluations])
    document = [
        {**e.to_json(), "protocol": protocol.name, "settings": protocol.settings(), "reported": options.reported}
        | {"statistics": asdict(e.score())}
        for e in evaluations
    ]
    if options.out is not None:
        write_or_print(options.out, document, console)
    if options.write_card:
        try:
            write_card(options.model, _with_scores(card, protocol, options.reported, evaluations))
        except ModelFileError as error:
            if options.out is not None:
                raise ModelFileError(f"{error}; the scores are in {options.out}") from error
            console.print_json(data=document)
            raise ModelFileError(f"{error}; the scores are printed above") from error


def _is_evaluation(path: Path) -> bool:
    return begins_with(path, b'"who":', b'"game":')


def _protocol(options: EvaluateOptions) -> EvaluationProtocol:
    """Return the protocol that is meant: one by name, with what is set otherwise."""
    settings = ("epsilon", "sticky_actions", "noop_max", "fire", "life_loss", "max_frames")
    return PROTOCOLS[options.protocol].changed({name: getattr(options, name) for name in settings})


def _with_scores(
    card: ModelCard, protocol: EvaluationProtocol, reported: float | None, evaluations: Sequence[Evaluation]
) -> ModelCard:
    """Return a card with new scores: those under this project's protocol, and others apart from them."""
    scores = dict(card.scores)
    for evaluation in evaluations:
        named = not protocol.is_ours or reported is not None
        scores[evaluation.game] = with_entries(
            card.scores.get(evaluation.game, {}),
            ours=evaluation.card_entry() if protocol.is_ours else None,
            other=Reproduction(protocol, evaluation.score(), reported) if named else None,
        )
    return replace(card, scores=scores)


def _play(options: EvaluateOptions, card: ModelCard, protocol: EvaluationProtocol) -> Iterator[Evaluation | None]:
    model = read_bounded(options.model)
    tasks = [
        EvaluationTask(
            card.kind, game, 0, model, options.episodes, options.lanes, protocol.epsilon, options.seed,
            protocol=protocol,
        )
        for game in options.games or card.actions
    ]  # fmt: skip
    if options.serial:
        yield from evaluate_serially(tasks)
        return
    cores = available_cores()
    with private_ray(cores) as trouble:
        cluster = RayCluster(cores, trouble=trouble)
        yield from evaluate_on_ray(tasks, cluster, lambda worker, reason: log.warning("%s: %s", worker.name, reason))


def _print(
    console: Console,
    options: EvaluateOptions,
    card: ModelCard,
    protocol: EvaluationProtocol,
    scores: Sequence[GameScore],
) -> None:
    caption = f"{card.kind} {options.model}, protocol {protocol.name}: {protocol.told()}"
    table = Table(caption=caption, show_lines=False)
    for column in ("game", "episodes", "mean", "95 % interval", "sd", "IQM", "human-normalised"):
        table.add_column(column, justify="left" if column == "game" else "right")
    for score in scores:
        interval = "n/a" if score.interval is None else f"{score.interval[0]:.2f} to {score.interval[1]:.2f}"
        human = "n/a" if score.human_normalised is None else f"{score.human_normalised:.3f}"
        numbers = (f"{score.mean:.2f}", interval, f"{score.standard_deviation:.2f}", f"{score.iqm:.2f}", human)
        table.add_row(score.game, str(score.episodes), *numbers)
    console.print(table)
    if options.reported is not None:
        console.print(Reproduction(protocol, scores[0], options.reported).sentence(), soft_wrap=True)
    trained = trained_under(card.training)
    if trained is not None and trained.differences(protocol):
        told = "; ".join(trained.differences(protocol))
        console.print(f"It was trained under protocol {trained.name}: {told}", soft_wrap=True)
    if card.kind == "student" and protocol.is_ours:
        places = [place for place in options.teachers if place.exists()]
        found = find_teachers(places)
        found.warn()
        cards = {teacher.game: teacher.scores for teacher in found.teachers if teacher.scores}
        pairs = [compare(s, GameScore.of(s.game, "teacher", 0, cards[s.game])) for s in scores if s.game in cards]
        if pairs:
            console.print("against the teachers' cards:")
            console.print(result_table(pairs)[0])
