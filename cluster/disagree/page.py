"""The page of a student's costliest choices, in the form of the report."""

import time
from collections.abc import Mapping, Sequence

from actors.video import FRAMES_PER_SECOND
from cluster.disagree.clips import AFTER, BEFORE, Clip
from cluster.disagree.findings import APART, GameFindings
from cluster.report.drawing.html import Html, element, join, table
from cluster.report.page import page, section
from distill.games import action_meanings

TITLE = "Where the student loses"
_MOST_CONFUSIONS = 12
_RARE = 0.99
"""Quantile above which the costliest 1 % of the steps lie that cost anything."""
_ROW, _WIDTH, _NAME, _VALUE = 18.0, 320.0, 104.0, 52.0


def document(
    student: str, findings: Sequence[GameFindings], clips: Mapping[str, Sequence[Clip]], epsilon: float
) -> str:
    """Return the page as HTML.

    Args:
        student: what was played.
        findings: of every game.
        clips: of every game's costly states, costliest first.
        epsilon: share of random actions of the episodes.
    """
    sections = [
        section("overview", "Overview", _overview(findings)),
        *(section(found.game, _name(found.game), _game(found, clips[found.game])) for found in findings),
        section("methods", "Methods", [element("p", sentence) for sentence in _methods(epsilon)]),
    ]
    made = time.strftime("%Y-%m-%d %H:%M %Z")
    return page(f"{TITLE}: {student}", f"Made {made} by distill disagree", sections, first=findings[0].game)


def _overview(findings: Sequence[GameFindings]) -> Html:
    head = (
        "game", "episodes", "mean score", "steps", "same choice", "cost per 1,000 steps", "costliest state",
        "share of the costliest 1 %",
    )  # fmt: skip
    rows = [
        (
            _name(found.game), str(len(found.episodes)),
            f"{sum(episode.score for episode in found.episodes) / len(found.episodes):,.1f}",
            f"{found.steps:,}", f"{1.0 - found.differing / found.steps:.1%}",
            f"{1000.0 * found.cost / found.steps:.2f}",
            f"{found.costly[0].cost:.3f}" if found.costly else "none",
            next((f"{often.share_of_cost:.0%}" for often in found.often if often.quantile >= _RARE), "none"),
        )
        for found in findings
    ]  # fmt: skip
    return table("What the student gives away, by its teacher's q-values", head, rows)


def _game(found: GameFindings, clips: Sequence[Clip]) -> Html:
    if not found.costly:
        return element("p", "The student chose as its teacher would in every state.")
    figures = [_figure(rank, found, clip) for rank, clip in enumerate(clips, 1)]
    return join(
        element("h3", "The costliest states"),
        element("div", figures, class_="figures"),
        element("h3", "How often they come"),
        _often(found),
        element("h3", "What it takes for what"),
        _confusions(found),
    )


def _figure(rank: int, found: GameFindings, clip: Clip) -> Html:
    state, actions = clip.state, action_meanings(found.game)
    chosen, best = int(state.episode.chosen[state.step]), int(state.episode.best[state.step])
    at = state.step / FRAMES_PER_SECOND
    words = f"{_action(actions[chosen])} instead of {_action(actions[best])} costs {state.cost:.3f}"
    often = (
        f"Episode {state.episode.number + 1} at {at // 60:.0f}:{at % 60:04.1f}. "
        f"{_frequency(state.as_costly, found)} costs as much."
    )
    video = element(
        "video", src=clip.film.video, poster=clip.film.still, width=clip.film.width, height=clip.film.height,
        controls=True, muted=True, loop=True, preload="none",
        aria_label=f"{_name(found.game)}, state {rank}: {words}",
    )  # fmt: skip
    return element(
        "figure", element("figcaption", f"{rank}. {words}", element("span", often)), video, _bars(clip, actions)
    )


def _bars(clip: Clip, actions: Sequence[str]) -> Html:
    """Return the teacher's q-values of a state as bars between the lowest and the highest."""
    low, high = float(clip.judged.min()), float(clip.judged.max())
    episode, step = clip.state.episode, clip.state.step
    chosen, best = int(episode.chosen[step]), int(episode.best[step])
    length = _WIDTH - _NAME - _VALUE
    rows: list[Html] = []
    for index, action in enumerate(actions):
        top, value = index * _ROW, float(clip.judged[index])
        share = 1.0 if high <= low else (value - low) / (high - low)
        colour = "series1" if index == best else "series0" if index == chosen else "neutral"
        mark = " (student)" if index == chosen else " (teacher)" if index == best else ""
        bar = element("rect", class_="part", x=_NAME, y=top + 4.0, width=max(1.0, share * length), height=10.0)
        rows += [
            element("text", _action(action), class_="name" if mark else None, x=0.0, y=top + 13.0),
            element("g", bar, class_=colour),
            element("text", f"{value:.3f}", class_="name" if mark else None, x=_WIDTH, y=top + 13.0, text_anchor="end"),
        ]
    described = "The teacher's q-values: " + ", ".join(
        f"{_action(action)} {clip.judged[index]:.3f}" for index, action in enumerate(actions)
    )
    size = f"0 0 {_WIDTH:g} {_ROW * len(actions):g}"
    return element("svg", rows, viewBox=size, role="img", aria_label=described)


def _often(found: GameFindings) -> Html:
    rows = [
        (
            f"at least {often.cost:.3f}", f"{often.steps:,}", _frequency(often.steps, found),
            f"{often.steps / len(found.episodes):,.1f}", f"{often.share_of_cost:.0%}",
        )
        for often in found.often
    ]  # fmt: skip
    head = ("cost", "steps", "how often", "per episode", "share of all cost")
    return table(f"{_name(found.game)}: steps by what they cost", head, rows)


def _confusions(found: GameFindings) -> Html:
    actions = action_meanings(found.game)
    rows = [
        (
            _action(actions[confusion.chosen]), _action(actions[confusion.best]), f"{confusion.steps:,}",
            f"{confusion.steps / found.steps:.2%}", f"{confusion.cost / confusion.steps:.3f}",
            f"{confusion.cost / found.cost:.0%}" if found.cost > 0.0 else "none",
        )
        for confusion in found.confusions[:_MOST_CONFUSIONS]
    ]  # fmt: skip
    head = ("student's choice", "teacher's choice", "steps", "of all steps", "mean cost", "share of all cost")
    left = len(found.confusions) - len(rows)
    note = element("p", f"{left} further pairs cost less.", class_="note") if left > 0 else join()
    return join(table(f"{_name(found.game)}: pairs of choices", head, rows, text_columns=2), note)


def _methods(epsilon: float) -> tuple[str, ...]:
    return (
        f"The student played whole episodes under this project's protocol, with a share of {epsilon:g} of random"
        " actions. Its teacher judged every state that it came to. The cost of a choice is the teacher's q-value of the"
        " action that it holds for best, less that of the action that the student holds for best; it is 0 where both"
        " choose the same.",
        "q-values are the teacher's own estimates of discounted rewards, in the units of the rewards that it was"
        " trained with. In states that it never came to itself they may be wrong.",
        f"Of states within {APART / FRAMES_PER_SECOND:g} s of each other, the costliest is shown. A clip begins"
        f" {BEFORE / FRAMES_PER_SECOND:g} s before its state, stands still there for a second, and ends"
        f" {AFTER / FRAMES_PER_SECOND:g} s later. Levels of the tables are the median and further quantiles of the"
        " costs of steps that cost anything.",
    )


def _frequency(steps: int, found: GameFindings) -> str:
    return f"1 step in {found.steps / steps:,.0f}"


def _name(game: str) -> str:
    return game.replace("_", " ").title()


def _action(action: str) -> str:
    return action.replace("_", " ").lower()
