"""Tells what the points of an experiment say, in tables and sentences."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from cluster.experiment.blocks import NONE, Block, Grid, Sentence, bounds, number
from cluster.scale.laws import Fit
from cluster.scale.points import ROLES, Point
from cluster.scale.summary import Curve, Mean, Summary

_MILLISECONDS = 1000.0
_MEGABYTE = 1e6


def tell(summary: Summary) -> list[Block]:
    """Return all that is told of an experiment."""
    return [
        _throughput(summary),
        _waits(summary),
        _costs(summary),
        *_laws(summary),
        *(Sentence(f"{_servers(each.servers)}: {each.verdict.sentence}") for each in summary.curves),
        *_books(summary),
        *_checks(summary),
    ]


def told_settings(points: Sequence[Point]) -> str:
    """Return in sentences what was measured, and on what a machine.

    Args:
        points: of one experiment, at least one.
    """
    settings, machine, commit = points[0].settings, points[0].machine, _short(points[0].commit)
    pace, ratio = settings["simulate_env"], settings["sample_to_insert"]
    actors = (
        f"Actors of {settings['lanes']} {settings['game']} emulators each"
        if pace is None
        else f"Simulated actors of {settings['lanes']} lanes, {pace:g} ms a step, {settings['game']}"
    )
    learner = (
        "takes chunks into its replay and makes no updates"
        if not settings["learn"]
        else "learns as fast as it can" if ratio is None else f"samples a transition {ratio:g} times"
    )  # fmt: skip
    background = fmean(point.background for point in points)
    return (
        f"{actors}; the learner {learner}. {settings['seconds']:g} s a measurement after {settings['warm_up']:g} s, on"
        f" {machine}, commit {commit}. Something else kept {background:.2f} cores busy before them."
    )


def _cells(summary: Summary) -> Iterator[tuple[Curve, int, Sequence[Point]]]:
    for each in summary.curves:
        for actors, points in each.points.items():
            yield each, actors, points


def _throughput(summary: Summary) -> Grid:
    head = ("Redis servers", "actors", "transitions/s [95 %]", "efficiency", "learner takes in/s", "samples/s")
    rows = [
        [
            str(each.servers), f"{actors:,}", _mean(each.transitions[actors]), _efficiency(points),
            *(number(fmean(rates), ",.0f") for rates in ([p.ingested for p in points], [p.samples for p in points])),
        ]
        for each, actors, points in _cells(summary)
    ]  # fmt: skip
    return Grid("Throughput", head, rows, 0)


def _waits(summary: Summary) -> Grid:
    head = ("Redis servers", "actors", "push p50, ms", "push p99, ms", "actors wait", "learner waits", "feed waits")
    rows = [
        [
            str(each.servers), f"{actors:,}", *(_push(points, name) for name in ("p50", "p99")),
            *(f"{fmean(p.waits[who] for p in points):.0%}" for who in ("actors", "learner", "feed")),
        ]
        for each, actors, points in _cells(summary)
    ]  # fmt: skip
    return Grid("How long a push takes, and who waits", head, rows, 0)


def _costs(summary: Summary) -> Grid:
    head = ("Redis servers", "actors", *(f"{role}, cores" for role in ROLES), "to Redis, MB/s", "from Redis, MB/s")
    rows = [
        [
            str(each.servers), f"{actors:,}",
            *(number(fmean(p.cores_of(role) for p in points), ".2f") for role in ROLES),
            *(number(fmean(p.network_bytes[way] / p.seconds for p in points) / _MEGABYTE, ",.2f")
              for way in ("to_redis", "from_redis")),
        ]
        for each, actors, points in _cells(summary)
    ]  # fmt: skip
    return Grid("CPU seconds per second, and bytes on the network", head, rows, 0)


def _laws(summary: Summary) -> Iterator[Grid]:
    rows = [row for each in summary.curves for row in (_law(each, "Amdahl", each.amdahl), _law(each, "USL", each.usl))]
    found = [row for row in rows if row is not None]
    if found:
        head = (
            "law",
            "Redis servers",
            "one actor, /s",
            "serial share [95 %]",
            "crosstalk [95 %]",
            "at most, /s",
            "error",
        )
        yield Grid("Laws fitted to the throughput", head, found)


def _law(each: Curve, name: str, fitted: Fit | None) -> list[str] | None:
    if fitted is None:
        return None
    law = fitted.law
    crosstalk = NONE if name == "Amdahl" else f"{law.crosstalk:.2e}{bounds(fitted.crosstalk, '.1e')}"
    serial = f"{law.serial:.4f}{bounds(fitted.serial, '.4f')}"
    return [
        name, str(each.servers), number(law.rate, ",.0f"), serial, crosstalk,
        "no limit seen" if law.most is None else number(law.most, ",.0f"), f"{fitted.error:.1%}",
    ]  # fmt: skip


def _books(summary: Summary) -> Iterator[Block]:
    rows: list[list[str]] = []
    for each, actors, points in _cells(summary):
        books = [point.books for point in points if point.books is not None]
        if not books:
            continue
        counts = [f"{sum(b[name] for b in books):,}" for name in ("acknowledged", "trained", "trimmed", "stored")]
        refused = sum(sum(b["refused"].values()) for b in books)
        off = [f"{sum(b[name] for b in books):,}" for name in ("lost", "doubled")]
        balanced = "no" if any(b["wrong"] for b in books) else "yes"
        rows.append([str(each.servers), f"{actors:,}", *counts, f"{refused:,}", *off, balanced])
    if rows:
        head = (
            "Redis servers", "actors", "acknowledged", "trained, in a stream", "trained, trimmed", "stored, unread",
            "refused", "lost", "doubled", "balanced",
        )  # fmt: skip
        yield Grid("Books: where every acknowledged chunk is, all repeats together", head, rows, 0)
    for point in summary.unbalanced:
        assert point.books is not None, "its books do not balance"
        yield Sentence(f"The books of {point.cell.name} do not balance: {'; '.join(point.books['wrong'])}.")


def _checks(summary: Summary) -> Iterator[Block]:
    if not summary.checks:
        return
    rows = [
        [
            str(check.servers), f"{check.actors:,}", number(check.predicted.transitions, ",.0f"),
            check.predicted.station, number(check.measured, ",.0f"), f"{check.error:+.1%}",
        ]
        for check in summary.checks
    ]  # fmt: skip
    head = ("Redis servers", "actors", "predicted/s", "held up by", "measured/s", "error")
    yield Grid("The model of capacity, beside what it was not fitted to", head, rows, 0)


def _short(commit: str) -> str:
    name, dirty, _ = commit.partition("-dirty")
    return name[:10] + dirty


def _servers(count: int) -> str:
    return "One Redis server" if count == 1 else f"{count} Redis servers"


def _mean(mean: Mean) -> str:
    return number(mean.value, ",.0f") + bounds(mean.interval, ",.0f")


def _efficiency(points: Sequence[Point]) -> str:
    found = [point.efficiency for point in points if point.efficiency is not None]
    return f"{fmean(found):.2f}" if found else NONE


def _push(points: Sequence[Point], name: str) -> str:
    found = [point.push[name] for point in points if name in point.push]
    return f"{fmean(found) * _MILLISECONDS:,.2f}" if found else NONE
