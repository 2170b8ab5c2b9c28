"""A recording as a table: a line for every game of every source."""

from collections import defaultdict
from statistics import fmean

from rich.table import Table

from distill.recording import Recording, Series
from distill.recording_manifest import Source

COLUMNS = ("game", "transitions", "episodes", "MB", "teacher", "driver", "epsilon", "seed", "mean score")
_WORDS = ("game", "teacher", "driver")


def recording_table(recording: Recording) -> Table:
    """Return what was recorded.

    Scores are of the newest episodes that the teacher drove, those included whose last steps filled no chunk.
    """
    versions = ", ".join(sorted({source.version for source in recording.manifest.sources}))
    table = Table(
        caption=f"{recording.path}, recorded by version {versions}, {recording.chunk_steps} steps a chunk",
        caption_justify="left",
    )
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in _WORDS else "right")
    for source in recording.manifest.sources:
        for game in sorted(source.settings.teachers):
            mine = [series for series in recording.series[game] if series.recording == source.settings.id]
            table.add_row(*_row(recording, source, game, mine))
    return table


def _row(recording: Recording, source: Source, game: str, series: list[Series]) -> tuple[str, ...]:
    counts: defaultdict[str, int] = defaultdict(int)
    for segment in (segment for one in series for segment in one.segments):
        counts["bytes"] += segment.size
        for entry in segment.chunks:
            counts["transitions"] += entry.steps
            counts["episodes"] += entry.episodes
    settings = source.settings
    scores, card = source.scores.get(game, []), recording.manifest.cards[game].get("scores", {}).get(game, {})
    driver = settings.driver
    if driver == "mixture":
        driver = f"mixture, student {settings.student_share:g}"
    return (
        game,
        f"{counts['transitions']:,}",
        f"{counts['episodes']:,}",
        f"{counts['bytes'] / 1e6:.1f}",
        f"{settings.teachers[game][:8]}" + (f", mean {card['mean']:.1f}" if "mean" in card else ""),
        driver,
        f"{settings.epsilon:g}",
        str(settings.seed),
        f"{fmean(scores):.2f} of {len(scores)}" if scores else "",
    )
