"""The page of an experiment in the form of the report: one HTML file that needs nothing from anywhere else."""

from collections.abc import Sequence
from statistics import fmean

from cluster.experiment.blocks import Block, Chart, Findings, Grid
from cluster.experiment.score_rows import ScoreRow
from cluster.experiment.scores import Scores
from cluster.report.drawing.bars import Row, interval_chart
from cluster.report.drawing.html import Content, Html, element, table
from cluster.report.page import page, section

_METHODS = (
    "Scores are raw rewards summed over whole episodes, played by the last version of every training with epsilon 0.05"
    " from up to 30 no-ops, and by its teacher from the same seeds. Nothing was chosen by score.",
    "A ratio is student / teacher where random play scores 0 or more and the teacher above it, else"
    " (student - random) / (teacher - random).",
    "Intervals are 95 % percentiles of 2,000 bootstrap resamples that draw seeds, and episodes within the drawn seeds,"
    " within each game and player.",
    "IQM is the mean without the lowest and the highest quarter of the ratios of all seeds and games. P(X > Y) is Mann"
    " and Whitney's U over the number of pairs of trainings, ties as one half, averaged over games; its intervals draw"
    " trainings. Both are as rliable defines them (Agarwal et al. 2021).",
    "X / Y is the geometric mean of X's ratios over that of Y's. It is confirmed if its interval lies above 1, and"
    " disagrees if it lies below.",
)


def document(scores: Scores, found: Findings) -> str:
    """Return the page of an experiment.

    Args:
        scores: of it.
        found: what is told of them.
    """
    experiment = scores.experiment
    charts = [drawn for chart in found.charts if (drawn := _chart(chart)) is not None]
    sections = [
        section("result", "Result", element("p", experiment.question), [_block(block) for block in found.blocks]),
        section("charts", "Charts", element("div", charts, class_="figures")),
        section("cells", "Cells", _cells(scores.rows)),
        section("methods", "Methods", [element("p", sentence) for sentence in _METHODS]),
    ]
    origin = f"Made by `distill experiment {experiment.name}` from scores.jsonl"
    return page(f"Experiment: {experiment.title}", origin, sections, first="result")


def _block(block: Block) -> Html:
    if isinstance(block, Grid):
        return table(block.caption, block.head, block.rows, text_columns=block.text_columns)
    return element("p", block.text)


def _chart(chart: Chart) -> Html | None:
    rows = [
        Row(mark.label, number, mark.value, mark.interval)
        for number, mark in enumerate(chart.marks)
        if mark.value is not None
    ]
    return interval_chart(chart.title, chart.unit, rows, chart.reference)


def _cells(rows: Sequence[ScoreRow]) -> Html:
    head = ("cell", "game", "player", "mean", "episodes", "updates", "transitions", "minutes of training", "commit")
    cells: list[tuple[Content, ...]] = [
        (
            row.cell, row.game, row.player, f"{fmean(row.scores):,.1f}", str(len(row.scores)), f"{row.updates:,}",
            f"{row.transitions:,}", f"{row.seconds / 60.0:.1f}", row.commit[:10],
        )
        for row in sorted(rows, key=lambda row: (row.cell, row.game, row.player))
    ]  # fmt: skip
    return table("Everything that was played at the end of every cell", head, cells, text_columns=3)
