"""Puts a report together: one HTML document that needs nothing from anywhere else."""

import time
from collections.abc import Sequence
from importlib.resources import files

from cluster.analysis.conditions import conditions
from cluster.analysis.run_data import RunData
from cluster.report.drawing.curves import loss_figures, rate_figures, score_figures
from cluster.report.drawing.html import Content, Html, element, join
from cluster.report.drawing.legend import learners_legend, lines_legend, profiles_legend, runs_legend
from cluster.report.profiles import profile_figures
from cluster.report.sections.overview import configuration, notes_list, runs_table
from cluster.report.sections.process import timing, versions
from cluster.report.sections.scores import aggregate_tables, game_tables, ratio_chart
from cluster.report.sections.videos import videos

GENERATOR = "Policy Distillery"
"""By which a page says who has written it."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; img-src data:"
"""Lets the browser fetch nothing and run nothing, whatever names and messages of a run may contain."""


def document(runs: Sequence[RunData], video_bytes: int) -> str:
    """Return the report of runs as HTML.

    Args:
        runs: what to report, in this order.
        video_bytes: how many bytes of films may be put into it.
    """
    title = f"Distillation report: {', '.join(run.name for run in runs)}"
    games = list(dict.fromkeys(game for run in runs for game in run.games))
    groups = conditions(runs)
    sections = [
        section("overview", "Overview", runs_table(runs, groups), element("h3", "Remarks"), notes_list(runs)),
        section("scores", "Scores", *_scores(runs, games)),
        section("aggregates", "Aggregates", aggregate_tables(groups)),
        section("curves", "Curves", *_curves(runs, games)),
        section("videos", "Videos", videos(runs, video_bytes)),
        section("timing", "Time", timing(runs)),
        section("versions", "Versions", versions(runs)),
        section("configuration", "Configuration", configuration(runs)),
        section("methods", "Methods", _methods()),
    ]
    made = time.strftime("%Y-%m-%d %H:%M %Z")
    return page(title, f"Made {made}", sections, first="scores")


def page(title: str, origin: str, sections: Sequence[tuple[str, str, Html]], *, first: str) -> str:
    """Return a whole HTML document of sections.

    Args:
        title: of the document.
        origin: when or by what it was made.
        sections: key, title and content of each; see `section`.
        first: key of the section that readers look for first.
    """
    links = [element("a", name, href=f"#{key}") for key, name, _ in sections]
    style = Html(files("cluster.report").joinpath("report.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=GENERATOR),
        element("title", title),
        element("style", style),
    )
    body = element(
        "body",
        element("a", f"To the {first}", class_="skip", href=f"#{first}"),
        element("header", element("h1", title), element("p", origin, class_="note")),
        element("nav", links, aria_label="Sections"),
        element("main", [content for _, _, content in sections]),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def section(key: str, title: str, *content: Content) -> tuple[str, str, Html]:
    """Return key, title and content of a section."""
    return key, title, element("section", element("h2", title), *content, id=key, aria_label=title)


def _scores(runs: Sequence[RunData], games: Sequence[str]) -> list[Html]:
    chart = ratio_chart(runs)
    figures = [*([chart] if chart else []), *profile_figures(runs, games)]
    parts = [game_tables(runs, games)]
    if figures:
        parts += [runs_legend(runs), profiles_legend(runs), _figures(figures)]
    return parts


def _curves(runs: Sequence[RunData], games: Sequence[str]) -> list[Html]:
    parts: list[Html] = []
    if len(runs) > 1:
        parts.append(runs_legend(runs))
    if scores := score_figures(runs, games):
        parts += [element("h3", "Score"), lines_legend(runs), _figures(scores)]
    if losses := loss_figures(runs, games):
        parts += [element("h3", "Loss"), _figures(losses)]
    if rates := rate_figures(runs):
        legend = [learners_legend(runs)] if not all(run.taught for run in runs) else []
        parts += [element("h3", "Pace"), *legend, _figures(rates)]
    return parts or [element("p", "The runs have written neither metrics nor evaluations.")]


def _figures(figures: Sequence[Html]) -> Html:
    return element("div", figures, class_="figures") if figures else join()


def _methods() -> Html:
    """Return how the numbers were computed."""
    sentences = (
        "Scores are raw rewards summed over whole episodes. Intervals are 95 % percentiles of 2,000 bootstrap"
        " resamples, drawn within each game and player.",
        "Human-normalised is (score - random) / (human - random) of the student, or of the Q-learner in a run without"
        " a student; a game without reference scores has none."
        " The ratio student / teacher is taken above random play where the random score is negative or the"
        " teacher's is not above it.",
        "IQM is the interquartile mean: the mean without the lowest and the highest quarter of all scores together."
        " P(X > Y) is Mann and Whitney's U over the number of pairs, ties as one half, averaged over games. Both are"
        " as rliable defines them (Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical"
        " precipice).",
        "A condition is the set of runs whose settings are the same but for name, folder, seed, Redis and films;"
        " teachers are told apart by the names of their files.",
        "Rates are means over 20 s, in short runs over less; curves of more than 240 points show means of"
        " neighbours. What a resumed run did again is shown once.",
    )
    return join([element("p", sentence) for sentence in sentences])
