"""Tells scores by variant and game as per cent of the teacher, in the form of the paper's tables and beside them."""

from collections.abc import Callable, Mapping

import numpy as np

from cluster.analysis.aggregates import probability_of_improvement
from cluster.experiment.blocks import Block, Chart, Findings, Grid, Mark, Sentence, bounds, number
from cluster.experiment.design import Claim
from cluster.experiment.paper import published, published_geometric_mean
from cluster.experiment.scores import Scores
from distill.scores import Floats, Ratio, interquartile_mean, mean, score_ratio
from distill.statistics import (
    Pair,
    advantage,
    geometric_mean_over_seeds,
    mean_over_seeds,
    ratio_over_seeds,
    ratios_together,
)

_PERCENT = 100.0
_UNIT = "% of the teacher"


def ratio_findings(scores: Scores) -> Findings:
    """Return tables and charts of an experiment that compares variants game by game."""
    blocks: list[Block] = [_table(scores), *_notes(scores)]
    if claims := [row for claim in scores.experiment.claims if (row := _judged(scores, claim))]:
        head = ("X above Y", "who says so", "there, X / Y", "here, X / Y [95 %]", "P(X > Y) [95 %]", "verdict")
        blocks.append(
            Grid("What others say, held against these scores (geometric means; P over runs)", head, claims, 2)
        )
    blocks += _beside_the_paper(scores)
    charts = [*(_chart(scores, game) for game in scores.games), _mean_chart(scores)]
    return Findings(blocks, [chart for chart in charts if any(mark.value is not None for mark in chart.marks)])


def _table(scores: Scores) -> Grid:
    paper = scores.experiment.paper
    head = ("game", "", "teacher", *(scores.experiment.label(variant) for variant in scores.variants), "best")
    rows: list[tuple[str, ...]] = []
    for game in scores.games:
        teacher = scores.teacher(game)
        known = {variant: pair for variant in scores.variants if (pair := scores.pair(variant, game))}
        ratios = {variant: ratio_over_seeds(pair) for variant, pair in known.items()}
        values = {variant: ratio.value for variant, ratio in ratios.items() if ratio.value is not None}
        cells = [_cell(known[v], ratios[v]) if v in known else "" for v in scores.variants]
        rows.append((game, "here", number(mean_over_seeds(teacher).value), *cells, _best(scores, values)))
        if any(ratio.scale == "above_random" for ratio in ratios.values()):
            raw = [_raw(ratios[v]) if v in ratios else "" for v in scores.variants]
            rows.append(("", "raw", "", *raw, ""))
        printed = [_published(paper, game, variant) for variant in scores.variants]
        if any(printed):
            of_teacher = published(paper, game, "teacher", "score")
            rows.append(("", "paper", "" if of_teacher is None else number(of_teacher), *printed, ""))
    return Grid(f"Mean score / {_UNIT} [95 % over seeds and episodes]", head, rows + _summaries(scores), 2)


def _summaries(scores: Scores) -> list[tuple[str, ...]]:
    """Return the last rows: what is said of all games together, over those that all variants have."""
    games = scores.common_games(*scores.variants)
    if not games:
        return []
    by_variant = [scores.pairs(variant, games) for variant in scores.variants]
    means = [geometric_mean_over_seeds(pairs) for pairs in by_variant]
    values = {v: found.value for v, found in zip(scores.variants, means, strict=True) if found.value is not None}
    rows = [
        (
            "geometric mean",
            "here",
            "",
            *(_percent(found.value, found.interval) for found in means),
            _best(scores, values),
        )
    ]
    paper = [published_geometric_mean(scores.experiment.paper, variant, games) for variant in scores.variants]
    if any(figure is not None for figure in paper):
        rows.append(("", "paper", "", *("" if figure is None else f"{figure:.1f} %" for figure in paper), ""))
    statistics: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
        ("mean", mean),
        ("IQM over runs", interquartile_mean),
    )
    for name, statistic in statistics:
        found = [ratios_together(pairs, statistic) for pairs in by_variant]
        rows.append((name, "here", "", *(_percent(e and e.value, e and e.interval) for e in found), ""))
    return rows


def _notes(scores: Scores) -> list[Block]:
    notes: list[Block] = []
    pairs = [pair for variant in scores.variants for pair in scores.pairs(variant)]
    ratios = {pair.game: ratio_over_seeds(pair) for pair in pairs}
    if scaled := [game for game, ratio in ratios.items() if ratio.scale == "above_random"]:
        notes.append(
            Sentence(
                f"{', '.join(scaled)}: per cent are of (student - random) / (teacher - random), raw ones of"
                " student / teacher, as the paper divides."
            )
        )
    games = scores.common_games(*scores.variants)
    if missing := [game for game in scores.games if game not in games]:
        notes.append(Sentence(f"The last rows leave out {', '.join(missing)}, which not all variants have played yet."))
    for variant in scores.variants:
        found = geometric_mean_over_seeds(scores.pairs(variant, games)) if games else None
        if found is not None and found.reason:
            notes.append(Sentence(f"{scores.experiment.label(variant)} has no geometric mean: {found.reason}."))
    if any(len(pair.student) == 1 for pair in pairs):
        notes.append(Sentence("Where there is one seed, an interval covers the luck of its episodes alone."))
    return notes


def _judged(scores: Scores, claim: Claim) -> tuple[str, ...] | None:
    """Return the row of a claim, None if it cannot be judged yet."""
    games = scores.common_games(claim.better, claim.worse)
    if not games:
        return None
    x, y = scores.pairs(claim.better, games), scores.pairs(claim.worse, games)
    found = advantage(x, y)
    likely = probability_of_improvement([_run_means(pair) for pair in x], [_run_means(pair) for pair in y])
    there = [
        published_geometric_mean(scores.experiment.paper, variant, games) for variant in (claim.better, claim.worse)
    ]
    factor = there[0] / there[1] if there[0] is not None and there[1] else None
    interval = None if found is None else found.interval
    if interval is None:
        verdict = "cannot be said"
    elif interval[0] > 1.0:
        verdict = "confirmed"
    elif interval[1] < 1.0:
        verdict = f"DISAGREES with {claim.source}"
    else:
        verdict = "not decided by these runs"
    return (
        f"{scores.experiment.label(claim.better)} above {scores.experiment.label(claim.worse)}",
        claim.source,
        "" if factor is None else f"{factor:.2f}",
        number(found and found.value, ".3f") + bounds(interval, ".3f"),
        number(likely.value, ".2f") + bounds(likely.interval, ".2f"),
        verdict,
    )


def _beside_the_paper(scores: Scores) -> list[Block]:
    """Return a sentence about which of the paper's figures lie outside the intervals here."""
    inside, outside = 0, list[str]()
    for game in scores.games:
        for variant in scores.variants:
            pair, figure = scores.pair(variant, game), published(scores.experiment.paper, game, variant, "percent")
            ratio = ratio_over_seeds(pair) if pair else None
            if ratio is None or figure is None or ratio.interval is None or ratio.value is None:
                continue
            if ratio.interval[0] * _PERCENT <= figure <= ratio.interval[1] * _PERCENT:
                inside += 1
            else:
                here = _percent(ratio.value, ratio.interval)
                outside.append(f"{game}, {scores.experiment.label(variant)}: here {here}, there {figure:.1f} %")
    if not inside and not outside:
        return []
    text = f"Of the paper's per cents, {inside} lie inside the 95 % interval found here, {len(outside)} outside"
    return [Sentence(f"{text}{': ' if outside else ''}{'; '.join(outside)}.")]


def _chart(scores: Scores, game: str) -> Chart:
    marks: list[Mark] = []
    for variant in scores.variants:
        pair = scores.pair(variant, game)
        if pair is None:
            continue
        ratio, teacher = ratio_over_seeds(pair), mean_over_seeds(pair.teacher).value
        seeds = [score_ratio(game, value, teacher).value for value in _run_means(pair)]
        marks.append(
            Mark(
                scores.experiment.label(variant),
                _scaled(ratio.value),
                ratio.interval and (ratio.interval[0] * _PERCENT, ratio.interval[1] * _PERCENT),
                [value * _PERCENT for value in seeds if value is not None],
                published(scores.experiment.paper, game, variant, "percent"),
            )
        )
    return Chart(game, _UNIT, marks, _PERCENT)


def _mean_chart(scores: Scores) -> Chart:
    games = scores.common_games(*scores.variants)
    marks: list[Mark] = []
    for variant in scores.variants if games else ():
        found = geometric_mean_over_seeds(scores.pairs(variant, games))
        interval = found.interval and (found.interval[0] * _PERCENT, found.interval[1] * _PERCENT)
        paper = published_geometric_mean(scores.experiment.paper, variant, games)
        marks.append(Mark(scores.experiment.label(variant), _scaled(found.value), interval, paper=paper))
    return Chart(f"geometric mean of {len(games)} games", _UNIT, marks, _PERCENT)


def _run_means(pair: Pair) -> list[float]:
    return [float(np.mean(episodes)) for episodes in pair.student]


def _best(scores: Scores, values: Mapping[str, float]) -> str:
    """Return the variant of the highest value, empty if there is none or several have it."""
    best = [variant for variant, value in values.items() if value == max(values.values())]
    return scores.experiment.label(best[0]) if len(best) == 1 else ""


def _cell(pair: Pair, ratio: Ratio) -> str:
    return f"{mean_over_seeds(pair.student).value:,.1f} / {_percent(ratio.value, ratio.interval)}"


def _raw(ratio: Ratio) -> str:
    return "" if ratio.raw is None else f"{ratio.raw * _PERCENT:.1f} %"


def _published(table: str | None, game: str, variant: str) -> str:
    score, percent = (published(table, game, variant, "score"), published(table, game, variant, "percent"))
    shown = [] if score is None else [number(score)]
    return " / ".join([*shown, *([] if percent is None else [f"{percent:.1f} %"])])


def _percent(value: float | None, interval: tuple[float, float] | None) -> str:
    return f"{number(_scaled(value), '.1f')} %{bounds(interval, '.1f', _PERCENT)}" if value is not None else "n/a"


def _scaled(value: float | None) -> float | None:
    return None if value is None else value * _PERCENT
