"""`distill compare`: does a new model play better than an old one? Plays as many episodes as it takes to say."""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console
from rich.table import Table

from actors.evaluation import Evaluation, EvaluationTask
from cluster.commands.options import parse_options, write_or_print
from cluster.ray.cluster import RayCluster, available_cores
from cluster.ray.private import private_ray
from cluster.workers.episodes import evaluate_on_ray, evaluate_serially
from distill.comparison import GAIN, ErrorRates, Outcome, Verdict, error_rates, judge, sequential_test
from distill.config import Section, Share
from distill.errors import ConfigError
from distill.files import begins_with, require_writable
from distill.game_names import Games
from distill.games import SeedStream, reset_seed
from distill.model_card import read_bounded, read_card
from distill.promotion import Rule
from distill.scores import GameScore

log = logging.getLogger(__name__)

EXIT_CODES: Mapping[Outcome, int] = {"better": 0, "not better": 1, "undecided": 3}
"""2 is wrong use or input, as everywhere."""

Scores = dict[str, list[float]]
Play = Callable[[Sequence[EvaluationTask]], Iterator[Evaluation | None]]


class CompareOptions(Section):
    """Compare two models by a sequential test. Exit code 0: NEW is better, 1: it is not, 3: undecided."""

    old: tyro.conf.Positional[Path]
    """Native model file of a student or a teacher."""
    new: tyro.conf.Positional[Path]
    """The model that should be better."""
    games: Games = ()
    """Games to play; all that both models play if empty."""
    look_episodes: Annotated[int, Field(ge=2, le=10_000)] = 16
    """Episodes per game that each model plays between two looks at the scores."""
    most_episodes: Annotated[int, Field(ge=2, le=100_000)] = 256
    """Episodes per game after which it is undecided."""
    better_above: Share = 0.995
    """Probability of a higher mean from which on NEW is better."""
    worse_below: Share = 0.05
    """Probability of a higher mean below which NEW is not better."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 8
    """Emulators at a time."""
    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of emulators and random actions, the same for both models."""
    out: Path | None = None
    """JSON file for verdict, error rates and all scores; older ones are replaced, another file is not."""
    serial: bool = False
    """Play in this process, without Ray."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Compare two models; the exit code is the verdict."""
    options = parse_options(CompareOptions, arguments, "compare", CompareOptions.__doc__ or "")
    require_writable("out", options.out, ours=_is_comparison, kind="a comparison of `distill compare`")
    if options.worse_below >= options.better_above:
        raise ConfigError(
            f"worse_below: expected less than better_above, {options.better_above:g}, found {options.worse_below:g}"
        )
    test = sequential_test(
        options.look_episodes,
        max(options.look_episodes, options.most_episodes),
        options.better_above,
        options.worse_below,
    )
    new, old = Scores(), Scores()
    with _player(options) as play, console.status("playing", spinner="line"):
        verdict = _decide(options, _games(options), test, new, old, play)
    rates = error_rates(new, old, test)
    _print(console, verdict, rates, new, old)
    if options.out is not None:
        document = {
            "comparison": asdict(verdict),
            "error_rates": asdict(rates) | {"gain": GAIN},
            "test": {
                "look_episodes": test.look_episodes,
                "most_episodes": test.most_episodes,
                "better_above": test.promote_above,
                "worse_below": test.reject_below,
            },
            "models": {"old": str(options.old), "new": str(options.new)},
            "scores": {"old": old, "new": new},
        }
        write_or_print(options.out, document, console)
    raise SystemExit(EXIT_CODES[verdict.outcome])


def _is_comparison(path: Path) -> bool:
    return begins_with(path, b'"comparison":')


def _games(options: CompareOptions) -> list[str]:
    """Return the games to play; raises ConfigError if a model does not play them."""
    old, new = (read_card(path).actions for path in (options.old, options.new))
    both = [game for game in new if game in old]
    games = list(options.games) or both
    if not games:
        raise ConfigError(
            f"games: {options.old} plays {', '.join(old)}, {options.new} {', '.join(new)}: none in common"
        )
    unknown = [game for game in games if game not in both]
    if unknown:
        raise ConfigError(f"games: both models play {', '.join(both) or 'none'}, not {', '.join(unknown)}")
    return games


@contextlib.contextmanager
def _player(options: CompareOptions) -> Generator[Play]:
    """Yield what plays tasks, in this process or on all cores."""
    if options.serial:
        yield evaluate_serially
        return
    cores = available_cores()
    with private_ray(cores):
        yield partial(
            evaluate_on_ray,
            cluster=RayCluster(cores),
            on_restart=lambda worker, reason: log.warning("%s: %s", worker.name, reason),
        )


def _decide(options: CompareOptions, games: Sequence[str], test: Rule, new: Scores, old: Scores, play: Play) -> Verdict:
    """Let both models play until the test has decided; their scores are added to `new` and `old`."""
    models = {"new": read_bounded(options.new), "old": read_bounded(options.old)}
    scores = {"new": new, "old": old}
    verdict: Verdict | None = None
    looks = played = 0
    while verdict is None:
        episodes = min(test.look_episodes, test.most_episodes - played)
        seed = reset_seed(options.seed, SeedStream.COMPARISON, looks)
        tasks = [
            EvaluationTask(who, game, 0, model, episodes, min(options.lanes, episodes), options.epsilon, seed)
            for who, model in models.items()
            for game in games
        ]
        found: dict[str, Scores] = defaultdict(Scores)
        for evaluation in play(tasks):
            if evaluation is not None:
                found[evaluation.who][evaluation.game] = list(evaluation.scores)
        for who, by_game in found.items():
            for game in games:
                scores[who].setdefault(game, []).extend(by_game[game])
        looks, played = looks + 1, played + episodes
        verdict = judge(new, old, test)
    return verdict


def _print(console: Console, verdict: Verdict, rates: ErrorRates, new: Scores, old: Scores) -> None:
    table = Table(show_lines=False)
    for column in ("game", "old", "new", "episodes"):
        table.add_column(column, justify="left" if column == "game" else "right")
    for game, scores in new.items():
        table.add_row(game, _mean(game, "old", old[game]), _mean(game, "new", scores), str(len(scores)))
    console.print(table)
    console.print(
        f"{verdict.outcome}: the new model's mean is higher with probability {verdict.probability:.3f}, after"
        f" {verdict.episodes} episodes of each. Of two equal models this test calls one better in"
        f" {rates.false_alarms:.1%}; a gain of {GAIN:g} standard deviations it misses in {rates.misses:.1%}.",
        soft_wrap=True,
    )


def _mean(game: str, who: str, scores: Sequence[float]) -> str:
    score = GameScore.of(game, who, 0, scores)
    interval = "" if score.interval is None else f" ({score.interval[0]:.2f} to {score.interval[1]:.2f})"
    return f"{score.mean:.2f}{interval}"
