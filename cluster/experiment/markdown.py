"""Writes what is told of an experiment as Markdown."""

from collections.abc import Sequence

from cluster.experiment.blocks import Block, Findings, Grid
from cluster.experiment.design import Experiment


def markdown(experiment: Experiment, found: Findings, picture: str, level: int) -> str:
    """Return an experiment's section.

    Args:
        experiment: which.
        found: what is told of it.
        picture: path of the plot, as the document's reader needs it.
        level: of its heading, 1 for `#`.
    """
    parts = [f"{'#' * level} {experiment.title}", experiment.question, *map(block_markdown, found.blocks)]
    if found.charts:
        parts.append(f"![{experiment.title}: values with 95 % intervals, dots for single seeds]({picture})")
    return "\n\n".join(parts) + "\n"


def block_markdown(block: Block) -> str:
    """Return a paragraph or a table."""
    return _table(block) if isinstance(block, Grid) else block.text


def _table(grid: Grid) -> str:
    rule = ["---" if column < grid.text_columns else "---:" for column in range(len(grid.head))]
    lines = [_line(row) for row in (grid.head, rule, *grid.rows)]
    return "\n".join([f"{grid.caption}:", "", *lines])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
