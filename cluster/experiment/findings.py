"""All that the scores of an experiment say: by its form, and what was measured beside them."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.experiment.action_gaps import tell_gaps
from cluster.experiment.blocks import Block, Findings, Sentence
from cluster.experiment.network_sizes import tell_networks
from cluster.experiment.pair_findings import pair_findings
from cluster.experiment.ratio_findings import ratio_findings
from cluster.experiment.scores import Scores
from cluster.experiment.steadiness_findings import steadiness_findings

_FORMS: dict[str, Callable[[Scores], Findings]] = {
    "ratios": ratio_findings,
    "pairs": pair_findings,
    "steadiness": steadiness_findings,
}


def findings(scores: Scores, measured: Mapping[str, Any]) -> Findings:
    """Return tables, sentences and charts.

    Args:
        scores: of the experiment's cells, of one or more.
        measured: beside them, by what was measured; empty if nothing was.
    """
    found = _FORMS[scores.experiment.form](scores)
    blocks: list[Block] = [Sentence(_made_with(scores)), *found.blocks]
    if gaps := measured.get("action_gaps"):
        blocks += tell_gaps(gaps)
    if networks := measured.get("networks"):
        blocks += tell_networks(networks, scores)
    blocks += [Sentence(remark) for remark in scores.experiment.remarks]
    return Findings(blocks, found.charts)


def _made_with(scores: Scores) -> str:
    """Return a sentence about how much the cells have learned from, and how much they played."""
    trained = [row for row in scores.rows if row.player != "teacher"]
    cells = {row.cell for row in trained}
    commits = sorted({row.commit[:10] for row in trained})
    return (
        f"{len(cells)} cells of {_several(len(scores.games), 'game')} and {_several(len(scores.seeds), 'seed')}:"
        f" {_range([row.transitions for row in trained])} transitions of a game,"
        f" {_range([row.updates for row in trained])} updates,"
        f" episodes of each network and game at the end: {_range([len(row.scores) for row in trained])}."
        f" Made by commit {', '.join(commits)}."
    )


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
