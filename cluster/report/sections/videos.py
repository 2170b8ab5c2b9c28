"""The films of a report, inside the file as long as they fit."""

from collections.abc import Sequence
from pathlib import Path

from cluster.analysis.run_data import RunData
from cluster.report.drawing.html import Html, element, join
from cluster.report.films import Film, read_film
from distill.errors import RunError


def videos(runs: Sequence[RunData], most_bytes: int) -> Html:
    """Return the films of all runs; those that do not fit into `most_bytes` together are named instead."""
    shown: list[Html] = []
    left_out: list[str] = []
    left = most_bytes
    for run in runs:
        for path in run.videos:
            size = path.stat().st_size
            if size > left:
                room = f"does not fit into {most_bytes / 1e6:g} MB with those before it; raise --video-megabytes"
                left_out.append(f"{path}: {size / 1e6:.2f} MB, {room}")
                continue
            try:
                film = read_film(path)
            except RunError as error:
                left_out.append(str(error))
                continue
            left -= size
            shown.append(_figure(_who(run, path), run.name, film))
    if not shown and not left_out:
        return element("p", "The runs have filmed nothing.")
    parts = [element("div", shown, class_="films")] if shown else []
    if left_out:
        parts.append(
            element("p", f"{len(left_out)} of {len(shown) + len(left_out)} films are left out:", class_="note")
        )
        parts.append(element("ul", [element("li", text) for text in left_out], class_="notes"))
    return join(parts)


def _who(run: RunData, path: Path) -> str:
    """Return game and player by the name that the run gave to the file."""
    if run.taught:
        return f"{path.stem}, student"
    game, _, suffix = path.stem.rpartition("-")
    return f"{game}, student" if suffix == "student" else f"{path.stem}, Q-learner"


def _figure(who: str, run: str, film: Film) -> Html:
    video = element(
        "video",
        src=film.video,
        poster=film.still,
        width=film.width,
        height=film.height,
        controls=True,
        muted=True,
        preload="none",
        aria_label=f"One episode of {who}, {run}",
    )
    return element("figure", element("figcaption", who, element("span", run)), video)
