"""Where the seconds of each role went, as a tree for the end of a run."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.tree import Tree

from cluster.analysis.run_data import read_run
from cluster.analysis.timing import collected, learned


def print_timing(path: Path, console: Console) -> None:
    """Print where the time of a run went, from what its folder says.

    Args:
        path: the run's folder.
        console: where to print.
    """
    run = read_run(path)
    tree = Tree("where the time went")
    for game in collected(run):
        _add(tree, f"{game.actors} x {game.game}, {game.transitions:,} transitions", game.seconds)
    for learner in learned(run):
        _add(tree, f"learner of {learner.lineage}, {learner.updates:,} updates", learner.seconds)
    if tree.children:
        console.print(tree)


def _add(tree: Tree, name: str, seconds: Mapping[str, float]) -> None:
    total = sum(seconds.values())
    branch = tree.add(f"{name}: {total:,.0f} s")
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        branch.add(f"{part} {spent:,.0f} s, {spent / total if total else 0.0:.0%}")
