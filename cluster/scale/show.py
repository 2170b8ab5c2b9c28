"""Prints what the points of an experiment say."""

from rich.console import Console
from rich.table import Table

from cluster.experiment.blocks import Block, Grid
from cluster.scale.folder import ScaleFolder
from cluster.scale.summary import Summary
from cluster.scale.told import tell, told_settings
from distill.errors import RunError


def show(summary: Summary, folder: ScaleFolder, console: Console) -> None:
    """Print what an experiment says.

    Raises:
        RunError: if books do not balance.
    """
    console.print(told_settings(summary.points), soft_wrap=True)
    for block in tell(summary):
        console.print(_shown(block), soft_wrap=not isinstance(block, Grid))
    files = (folder.points, folder.rows, folder.summary, folder.picture)
    console.print(f"results: {', '.join(map(str, files))}", soft_wrap=True)
    if wrong := summary.unbalanced:
        raise RunError(f"scale: the books of {len(wrong)} measurements do not balance; see {folder.points}")


def _shown(block: Block) -> Table | str:
    if not isinstance(block, Grid):
        return block.text
    table = Table(title=block.caption, title_justify="left")
    for place, heading in enumerate(block.head):
        table.add_column(heading, justify="left" if place < block.text_columns else "right")
    for row in block.rows:
        table.add_row(*row)
    return table
