"""The beginning of a report: which runs it is about, what is wrong with them, how they were configured."""

from collections.abc import Sequence
from typing import Any

from cluster.analysis.conditions import Condition, differing, shown
from cluster.analysis.run_data import RunData
from cluster.analysis.timing import collected, learned
from cluster.report.drawing.html import NONE, Content, Html, element, join, table
from cluster.report.drawing.legend import swatch
from cluster.report.sections.scores import estimate
from distill.scores import summarise
from distill.statistics import Estimate


def runs_table(runs: Sequence[RunData], groups: Sequence[Condition]) -> Html:
    """Return the runs side by side, one a column."""
    facts = [_facts(run, next(group for group in groups if run in group.runs)) for run in runs]
    names = list(dict.fromkeys(name for of_run in facts for name in of_run))
    rows = [(name, *(of_run.get(name, "") for of_run in facts)) for name in names]
    heads = [join(swatch(number), run.name) for number, run in enumerate(runs)]
    return table("Runs", ["", *heads], rows, text_columns=len(runs) + 1)


def notes_list(runs: Sequence[RunData]) -> Html:
    """Return what a reader must know about each run, and about comparing them."""
    notes = [(run.name, note) for run in runs for note in run.notes]
    if len(runs) > 1:
        if len({frozenset(run.games) for run in runs}) > 1:
            notes.append(("All", "The runs have different games; aggregates of pairs are over the games of both."))
        if len({run.environment.get("git_commit") for run in runs}) > 1:
            notes.append(("All", "The runs were made by different commits, so more than settings may differ."))
        packages = differing([run.environment.get("versions", {}) for run in runs])
        if packages:
            notes.append(("All", f"The runs were made with different versions of {', '.join(packages)}."))
        if len({str(run.settings["loss"]) for run in runs if "loss" in run.settings}) > 1:
            notes.append(("All", "The runs have different losses, whose values cannot be compared."))
    items = [element("li", element("strong", name), ": ", note) for name, note in notes]
    return element("ul", items, class_="notes") if items else element("p", "Nothing is missing or unusual.")


def configuration(runs: Sequence[RunData]) -> Html:
    """Return the settings in which runs differ, all settings, and the versions of packages."""
    parts: list[Content] = []
    settings = [run.settings for run in runs]
    if len(runs) > 1:
        names = differing(settings)
        parts.append(table("Settings that differ", _heads(runs), _rows(names, settings), text_columns=len(runs) + 1))
    names = list(dict.fromkeys(name for each in settings for name in each))
    full = table("All settings", _heads(runs), _rows(names, settings), text_columns=len(runs) + 1)
    parts.append(element("details", element("summary", f"All {len(names)} settings"), full))
    environments = [_environment(run) for run in runs]
    names = list(dict.fromkeys(name for each in environments for name in each))
    if names:
        made_with = table("Environment", _heads(runs), _rows(names, environments), text_columns=len(runs) + 1)
        parts.append(element("details", element("summary", "Environment and versions of packages"), made_with))
    return join(parts)


def _heads(runs: Sequence[RunData]) -> list[str]:
    return ["", *(run.name for run in runs)]


def _rows(names: Sequence[str], columns: Sequence[dict[str, Any]]) -> list[list[Content]]:
    return [
        [element("code", name), *(shown(column[name]) if name in column else NONE for column in columns)]
        for name in names
    ]


def _environment(run: RunData) -> dict[str, Any]:
    versions = run.environment.get("versions")
    plain = {name: value for name, value in run.environment.items() if name not in ("versions", "seed")}
    return plain | (versions if isinstance(versions, dict) else {})


def _facts(run: RunData, group: Condition) -> dict[str, Content]:
    facts: dict[str, Content] = {
        "made by": element("code", f"distill {run.command}"),
        "state": run.state,
        "condition": group.title,
        "seed": shown(run.settings.get("seed")),
        "games": ", ".join(run.games),
    }
    if "student" in run.settings:
        facts["student"] = f"{run.settings['student']}, loss {shown(run.settings.get('loss'))}"
    if did := learned(run):
        facts["minutes of training"] = f"{max(learner.total for learner in did) / 60.0:.1f}"
        updates = [f"{learner.lineage} {learner.updates:,}" for learner in did]
        facts["updates"] = ", ".join(updates) if len(did) > 1 else f"{did[0].updates:,}"
    if gathered := collected(run):
        facts["transitions collected"] = f"{sum(of_game.transitions for of_game in gathered):,}"
    total = summarise([comparison for game in run.games if (comparison := run.comparison(game))])
    if total.value is not None:
        ratio = estimate(Estimate(total.value, total.interval))
        facts["student / teacher, geometric mean"] = element("strong", ratio)
    facts["started"] = str(run.environment.get("started", "unknown")).replace("T", " ").replace("Z", " UTC")
    commit, _, dirty = str(run.environment.get("git_commit", "unknown")).partition("-")
    facts["commit"] = join(element("code", commit[:10]), " with changes" if dirty else "")
    return facts
