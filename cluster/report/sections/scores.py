"""The report's tables of scores: game by game, and put together over games and runs."""

from collections.abc import Callable, Sequence
from itertools import combinations

from cluster.analysis.aggregates import aggregate_iqm, probability_of_improvement
from cluster.analysis.conditions import Condition
from cluster.analysis.run_data import RunData
from cluster.report.drawing.bars import Row, interval_chart
from cluster.report.drawing.html import NONE, Content, Html, element, join, table
from distill.scores import Comparison, GameScore, human_normalised, mean_interval, summarise
from distill.statistics import Estimate


def game_tables(runs: Sequence[RunData], games: Sequence[str]) -> Html:
    """Return the scores at the end of the runs, and the newest ones of runs that have not ended."""
    ended = [run for run in runs if run.final]
    open_runs = [run for run in runs if not run.final]
    parts: list[Content] = []
    if ended:
        rows = [_game_row(run, game) for game in games for run in ended if any(of == game for _, of in run.final)]
        rows += [row for run in ended if (row := _mean_row(run))]
        head = ("game", "run", "teacher", "student", "student / teacher", "human-normalised", "episodes")
        parts.append(table("Scores at the end: mean [95 % interval]", head, rows, text_columns=2))
        reasons = dict.fromkeys(
            comparison.ratio.reason for run in ended for comparison in _comparisons(run) if comparison.ratio.reason
        )
        scaled = dict.fromkeys(
            comparison.game
            for run in ended
            for comparison in _comparisons(run)
            if comparison.ratio.scale == "above_random"
        )
        if scaled:
            parts.append(_note(f"{', '.join(scaled)}: the ratio is (student - random) / (teacher - random)."))
        parts += [_note(f"{reason}.") for reason in reasons]
    if open_runs and (rows := [row for run in open_runs for row in _newest_rows(run)]):
        head = ("game", "run", "player", "version", "updates", "mean [95 % interval]", "human-normalised", "episodes")
        title = "Newest evaluations of runs without one at the end"
        parts.append(table(title, head, rows, text_columns=3))
        parts.append(
            _note("These chose between versions, so they flatter the one that is kept: no aggregate has them.")
        )
    return join(parts or element("p", "No run has evaluated anything yet."))


def ratio_chart(runs: Sequence[RunData]) -> Html | None:
    """Return the figure of all ratios to the teacher."""
    rows = [
        Row(f"{comparison.game}, {run.name}", number, comparison.ratio.value, comparison.ratio.interval)
        for number, run in enumerate(runs)
        for comparison in _comparisons(run)
        if comparison.ratio.value is not None
    ]
    return interval_chart("Student against teacher", "student / teacher", sorted(rows, key=lambda r: r.label), 1.0)


def aggregate_tables(groups: Sequence[Condition]) -> Html:
    """Return interquartile means and probabilities of improvement, over runs and over episodes."""
    groups = [
        Condition(group.label, group.settings, ended)
        for group in groups
        if (ended := tuple(run for run in group.runs if run.final))
    ]
    if not groups:
        return element("p", "No run was evaluated at its end, so there is nothing to put together.")
    head = ("condition", "runs", "games", "IQM, human-normalised", "IQM, student / teacher")
    rows = [_condition_row(group) for group in groups]
    parts: list[Content] = [
        element("h3", "Over runs"),
        _note(
            "As rliable defines it: one score for each run and game, the mean of its episodes; intervals draw runs anew"
            " within each game. This says how sure the method is to give such scores when it is run again with another"
            " seed. A single run has no such interval."
        ),
        table("Interquartile mean [95 % interval]", head, rows),
    ]
    if len(groups) > 1:
        pairs = [(x.title, y.title, *_improvement(x.runs, y.runs, _run_scores)) for x, y in combinations(groups, 2)]
        parts.append(table("Probability of improvement", ("X", "Y", "games", "P(X > Y)"), pairs, text_columns=2))
    parts += [
        element("h3", "Over episodes"),
        _note(
            "The same statistics with episodes in the place of runs. They compare the networks that these very runs"
            " trained, and say nothing of other seeds."
        ),
    ]
    runs = [run for group in groups for run in group.runs]
    head = ("run", "episodes", "IQM, human-normalised", "P(student > teacher)")
    parts.append(table("Single runs [95 % interval]", head, [_run_row(run) for run in runs]))
    if len(runs) > 1:
        pairs = [(x.name, y.name, *_improvement((x,), (y,), _episode_scores)) for x, y in combinations(runs, 2)]
        caption = "Probability that an episode of X scores above one of Y"
        parts.append(table(caption, ("X", "Y", "games", "P(X > Y)"), pairs, text_columns=2))
    return join(parts)


def _comparisons(run: RunData) -> list[Comparison]:
    return [comparison for game in run.games if (comparison := run.comparison(game))]


def _game_row(run: RunData, game: str) -> tuple[Content, ...]:
    student, teacher = run.final.get(("student", game)), run.final.get(("teacher", game))
    comparison = run.comparison(game)
    ratio = comparison.ratio if comparison else None
    player = run.final.get((run.player, game))
    return (
        game,
        run.name,
        _score(teacher),
        _score(student),
        NONE if ratio is None or ratio.value is None else estimate(Estimate(ratio.value, ratio.interval)),
        NONE if player is None or player.human_normalised is None else f"{player.human_normalised:.3f}",
        NONE if player is None else str(player.episodes),
    )


def _mean_row(run: RunData) -> tuple[Content, ...] | None:
    total = summarise(_comparisons(run))
    if total.value is None:
        return None
    of = "geometric mean" + (f" of {total.games} games" if total.left_out else "")
    ratio = estimate(Estimate(total.value, total.interval))
    return element("strong", of), element("strong", run.name), "", "", element("strong", ratio), "", ""


def _newest_rows(run: RunData) -> list[tuple[Content, ...]]:
    rows: list[tuple[Content, ...]] = []
    for look in {(look.game, look.lineage): look for look in run.drawn}.values():
        mean = sum(look.scores) / len(look.scores)
        normalised = human_normalised(look.game, mean)
        rows.append((
            look.game,
            run.name,
            "student" if look.player == "student" else "Q-learner",
            str(look.version),
            NONE if look.updates is None else f"{look.updates:,}",
            f"{mean:,.1f}{_bounds(mean_interval(look.scores), '.1f')}",
            NONE if normalised is None else f"{normalised:.3f}",
            str(len(look.scores)),
        ))  # fmt: skip
    return rows


def _condition_row(group: Condition) -> tuple[Content, ...]:
    games = _common_games(group.runs)
    normalised = [
        [value for run in group.runs if (value := run.final[run.player, game].human_normalised) is not None]
        for game in games
    ]
    ratios = [[comparison.ratio.value for run in group.runs if (comparison := run.comparison(game))] for game in games]
    whole = [[ratio for ratio in of if ratio is not None] for of in ratios]
    runs = len(group.runs)
    return (
        group.title,
        str(runs),
        str(len(games)),
        _iqm([scores for scores in normalised if len(scores) == runs], len(games)),
        _iqm([scores for scores in whole if len(scores) == runs], len(games)),
    )


def _run_row(run: RunData) -> tuple[Content, ...]:
    games = _common_games((run,))
    normalised = [
        [value for score in run.final[run.player, game].scores if (value := human_normalised(game, score)) is not None]
        for game in games
    ]
    pairs = [(comparison.student.scores, comparison.teacher.scores) for comparison in _comparisons(run)]
    return (
        run.name,
        str(sum(run.final[run.player, game].episodes for game in games)),
        _iqm([scores for scores in normalised if scores], len(games)),
        estimate(probability_of_improvement(*zip(*pairs, strict=True))) if pairs else NONE,
    )


def _iqm(games: Sequence[Sequence[float]], of: int) -> str:
    """Return the interquartile mean as text; games without such a score are left out, and that is said."""
    if not games:
        return NONE
    return estimate(aggregate_iqm(games)) + (f" of {len(games)} games" if len(games) < of else "")


def _improvement(
    x: Sequence[RunData], y: Sequence[RunData], scores: Callable[[Sequence[RunData], str], list[float]]
) -> tuple[str, str]:
    games = [game for game in _common_games(x) if game in _common_games(y)]
    if not games:
        return "0", "no game in common"
    found = probability_of_improvement([scores(x, game) for game in games], [scores(y, game) for game in games])
    return str(len(games)), estimate(found)


def _common_games(runs: Sequence[RunData]) -> list[str]:
    return [game for game in runs[0].games if all((run.player, game) in run.final for run in runs)]


def _run_scores(runs: Sequence[RunData], game: str) -> list[float]:
    return [run.final[run.player, game].mean for run in runs]


def _episode_scores(runs: Sequence[RunData], game: str) -> list[float]:
    return [score for run in runs for score in run.final[run.player, game].scores]


def estimate(found: Estimate) -> str:
    """Return a value with its interval."""
    return f"{found.value:.3f}{_bounds(found.interval, '.3f')}"


def _score(score: GameScore | None) -> str:
    return NONE if score is None else f"{score.mean:,.1f}{_bounds(score.interval, ',.1f')}"


def _bounds(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"


def _note(text: str) -> Html:
    return element("p", text, class_="note")
