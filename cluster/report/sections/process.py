"""The report's account of how the runs went: where the seconds were spent, and what became of the versions."""

from collections.abc import Sequence
from typing import cast

from cluster.analysis.run_data import RunData
from cluster.analysis.timing import COLLECTOR_PARTS, LEARNER_PARTS, collected, learned
from cluster.report.drawing.bars import part_chart
from cluster.report.drawing.html import NONE, Content, Html, element, join, table
from cluster.report.drawing.legend import parts_legend
from distill.protocols import STUDENT
from distill.scores import mean_interval

_OPEN_ROWS = 12
"""Longer tables are folded."""


def timing(runs: Sequence[RunData]) -> Html:
    """Return where collecting actors, learners and evaluations spent their seconds."""
    gathered = [(run, of_game) for run in runs for of_game in collected(run)]
    learners = [(run, learner) for run in runs for learner in learned(run)]
    parts: list[Content] = []
    bars = part_chart(
        "Collecting actors", [(f"{of.game}, {run.name}", of.seconds) for run, of in gathered], COLLECTOR_PARTS
    )
    if bars is not None:
        head = (
            "run",
            "game",
            "actors",
            "transitions",
            "episodes",
            *(f"{part}, s" for part in COLLECTOR_PARTS),
            "transitions per s",
        )
        rows = [
            (
                run.name, of.game, str(of.actors), f"{of.transitions:,}", f"{of.episodes:,}",
                *(_seconds(of.seconds.get(part, 0.0), of.total) for part in COLLECTOR_PARTS),
                f"{of.transitions * of.actors / of.total:,.0f}",
            )
            for run, of in gathered
            if of.total > 0.0
        ]  # fmt: skip
        actors = table("Collecting actors, seconds of all actors together", head, rows, text_columns=2)
        parts += [parts_legend(COLLECTOR_PARTS), element("div", bars, class_="figures"), actors]
    bars = part_chart("Learners", [(f"{of.lineage}, {run.name}", of.seconds) for run, of in learners], LEARNER_PARTS)
    if bars is not None:
        head = (
            "run", "learner", "updates", *(f"{part}, s" for part in LEARNER_PARTS), "updates per s", "feed waiting, s",
            "chunks refused", "updates skipped",
        )  # fmt: skip
        rows = [
            (
                run.name, of.lineage, f"{of.updates:,}",
                *(_seconds(of.seconds[part], of.total) for part in LEARNER_PARTS),
                f"{of.updates / of.total:,.1f}", f"{of.insert_wait_seconds:,.0f}", str(of.rejected), str(of.nonfinite),
            )
            for run, of in learners
            if of.total > 0.0
        ]  # fmt: skip
        parts += [
            parts_legend(LEARNER_PARTS),
            element("div", bars, class_="figures"),
            table("Learners", head, rows, text_columns=2),
            element(
                "p",
                "An actor waits when the buffer is full. The feed is a thread beside the learner: it waits while"
                " the learner has not yet sampled as often as it should.",
                class_="note",
            ),
        ]
    played = [(run, key, seconds) for run in runs for key, seconds in run.evaluation_seconds.items()]
    if played:
        rows = [
            (run.name, game, who, str(run.final[who, game].episodes), f"{seconds:,.1f}")
            for run, (who, game), seconds in played
        ]
        head = ("run", "game", "player", "episodes", "seconds")
        parts.append(_folded("Evaluations at the end", table("Evaluations at the end", head, rows, text_columns=3), 99))
    restarts = [
        (run.name, role, count) for run in runs if run.metrics for role, count in run.metrics[-1].restarts.items()
    ]
    parts += [
        element("p", f"{name}: {role} was started again {count} times.") for name, role, count in restarts if count
    ]
    return join(parts or element("p", "No run has metrics, so it is not known where time was spent."))


def versions(runs: Sequence[RunData]) -> Html:
    """Return which versions were evaluated and which were promoted."""
    parts: list[Content] = []
    for run in runs:
        parts.append(element("h3", run.name))
        shown = [
            _promotions(run, lineage)
            for lineage in run.promotions
            if run.promotions[lineage] or run.verdicts.get(lineage)
        ]
        parts += shown
        if run.distils or not shown:
            parts.append(_evaluated(run))
    return join(parts)


def _promotions(run: RunData, lineage: str) -> Html:
    start = run.metrics[0].time if run.metrics else None
    who = "student" if lineage == STUDENT else f"Q-learner of {lineage}"
    rows: list[list[Content]] = []
    for promotion in run.promotions[lineage]:
        minutes = NONE if start is None else f"{(promotion.time - start) / 60.0:.1f}"
        scores = ", ".join(f"{game} {_promoted_score(score)}" for game, score in promotion.scores.items())
        parent = "none" if promotion.parent is None else str(promotion.parent)
        rows.append([str(promotion.version), parent, minutes, scores or NONE, promotion.kind, promotion.why])
    counts = run.verdicts.get(lineage, {})
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "none yet"
    title = f"{who}: versions decided on: {told}"
    if not rows:
        return element("p", f"{title}. No version was promoted.")
    head = ("version", "in place of", "minute", "mean [95 % interval]", "kind", "why")
    return join(_folded(title, table(f"Promotions, {run.name}, {who}", head, rows, text_columns=6), len(rows)))


def _promoted_score(score: dict[str, object]) -> str:
    mean, found = score.get("mean"), score.get("interval")
    interval = cast(Sequence[float], found) if isinstance(found, list | tuple) else ()
    text = f"{mean:,.1f}" if isinstance(mean, int | float) else NONE
    if len(interval) == 2:
        text += f" [{interval[0]:,.1f}, {interval[1]:,.1f}]"
    return f"{text} of {score.get('episodes', '?')} episodes"


def _evaluated(run: RunData) -> Html:
    students = [look for look in run.drawn if look.player == "student"]
    versions = dict.fromkeys(look.version for look in students)
    if not versions:
        return element("p", "No version was evaluated.")
    best = {score.version for (who, _), score in run.final.items() if who == "student"}
    rows: list[list[Content]] = []
    for version in versions:
        looks = {look.game: look for look in students if look.version == version}
        first = next(iter(looks.values()))
        seconds = run.seconds_at(first)
        rows.append([
            join(str(version), element("span", " best", class_="badge") if version in best else ""),
            NONE if first.updates is None else f"{first.updates:,}",
            NONE if seconds is None else f"{seconds / 60.0:.1f}",
            *(_mean(looks[game].scores) if game in looks else NONE for game in run.games),
            str(len(first.scores)),
        ])  # fmt: skip
    head = ("version", "updates", "minute", *run.games, "episodes")
    title = f"{len(rows)} versions of the student were evaluated"
    caption = f"Versions of the student, {run.name}: mean [95 % interval]"
    return join(_folded(title, table(caption, head, rows), len(rows)))


def _mean(scores: Sequence[float]) -> str:
    interval = mean_interval(scores)
    mean = f"{sum(scores) / len(scores):,.1f}"
    return mean if interval is None else f"{mean} [{interval[0]:,.1f}, {interval[1]:,.1f}]"


def _folded(title: str, content: Html, rows: int) -> Html:
    return element("details", element("summary", title), content, open=rows <= _OPEN_ROWS)


def _seconds(value: float, total: float) -> str:
    return f"{value:,.0f} ({value / total:.0%})"
