"""Writes the figures of docs/scaling.md: all experiments that were measured, and the plan that follows from them."""

import os
from collections.abc import Mapping
from pathlib import Path

from cluster.experiment.blocks import NONE, Grid, Sentence, number
from cluster.experiment.markdown import block_markdown
from cluster.scale.capacity import Demand
from cluster.scale.fleet import ACTORS, LINK_BITS, PRICE, USABLE, Costs, Fleet
from cluster.scale.folder import POINTS, ScaleFolder
from cluster.scale.points import read_points
from cluster.scale.summary import Summary
from cluster.scale.told import tell, told_settings

_MICROSECONDS = 1e6
_GIGABITS = 1e9
NOT_MEASURED = "Not measured yet: `make scale` measures it, on a machine that does nothing else.\n"


def scaling_section(root: Path, beside: Path) -> str:
    """Return what a document says of all experiments.

    Args:
        root: folder of the experiments' folders.
        beside: folder of the document, from which its pictures are named.

    Raises:
        RunError: if points are damaged.
    """
    found: dict[str, Summary] = {}
    for path in sorted(root.glob(f"*/{POINTS}")):
        if points := read_points(path):
            found[path.parent.name] = Summary.of(points)
    if not found:
        return NOT_MEASURED
    parts = [part for name, summary in found.items() for part in _experiment(name, summary, root / name, beside)]
    return "\n\n".join([*parts, *_plan(found)]) + "\n"


def _experiment(name: str, summary: Summary, folder: Path, beside: Path) -> list[str]:
    picture = Path(os.path.relpath(ScaleFolder(folder).picture, beside)).as_posix()
    return [
        f"### {name}",
        told_settings(summary.points),
        f"![{name}: throughput, pushes, cores]({picture})",
        *map(block_markdown, tell(summary)),
    ]


def _plan(found: Mapping[str, Summary]) -> list[str]:
    parts = ["### What a transition costs", block_markdown(_demands(found)), f"### {ACTORS:,} actors"]
    costs = costs_of(found)
    if costs is None:
        return [*parts, f"It needs an experiment with emulators and one with simulated actors. {NOT_MEASURED.strip()}"]
    fleet = Fleet.of(ACTORS, costs)
    remarks = Sentence(
        f"No core and no link is planned to be busier than {USABLE:.0%}; a link has {LINK_BITS / _GIGABITS:g} Gbit/s."
        f" The price of {PRICE:g} dollars for a core and an hour is an assumption, the cores are not. A learner that"
        " samples every transition several times needs that many times the cores of its updates, or devices that are as"
        " fast."
    )
    return [*parts, block_markdown(_fleet(fleet)), block_markdown(remarks)]


def costs_of(found: Mapping[str, Summary]) -> Costs | None:
    """Return what the parts cost: real actors where no learner takes their cores, Redis and feed at the highest rates.

    Args:
        found: experiments by name.

    Returns:
        None unless real and simulated actors were both measured.
    """
    real = [each for each in found.values() if each.points[0].settings["simulate_env"] is None]
    simulated = [each for each in found.values() if each not in real]
    if not real or not simulated:
        return None
    undisturbed = [each for each in real if not each.points[0].settings["learn"]] or real
    busiest = max(simulated, key=lambda each: max(point.transitions for point in each.points))
    samples = [each.demand.sample for each in (*real, *simulated) if each.demand.sample]
    return Costs(undisturbed[0].demand, busiest.demand, min(samples, default=None))


def _demands(found: Mapping[str, Summary]) -> Grid:
    head = (
        "experiment", "one actor, transitions/s", "actor, us", "Redis, us", "feed, us", "sample, us", "to Redis, bytes",
        "from Redis, bytes",
    )  # fmt: skip
    rows = [[name, *_demand(summary.demand)] for name, summary in found.items()]
    return Grid("CPU time and bytes of one transition, fitted", head, rows)


def _demand(demand: Demand) -> list[str]:
    times = (demand.actors, demand.redis, demand.learner, demand.sample)
    return [
        number(demand.rate, ",.0f"),
        *(number(seconds * _MICROSECONDS, ",.2f") if seconds else NONE for seconds in times),
        *(number(size, ",.1f") for size in (demand.to_redis, demand.from_redis)),
    ]


def _fleet(fleet: Fleet) -> Grid:
    updates = NONE if fleet.sample_cores is None else number(fleet.sample_cores, ",.0f")
    rows = [
        ["transitions/s", number(fleet.transitions, ",.0f")],
        ["cores of the actors", number(fleet.actor_cores, ",.0f")],
        ["Redis servers, each one core (--shards)", f"{fleet.servers:,}"],
        ["connections to each", f"{fleet.connections:,}"],
        ["actors to Redis, Gbit/s", number(fleet.to_redis / _GIGABITS, ",.1f")],
        ["Redis to learners, Gbit/s", number(fleet.from_redis / _GIGABITS, ",.1f")],
        ["links for these two", f"{fleet.links[0]:,} and {fleet.links[1]:,}"],
        ["learner ranks that take the transitions in (--learners)", f"{fleet.ranks:,}"],
        ["cores for updates that sample each transition once", updates],
        ["cores without the updates", number(fleet.cores, ",.0f")],
        ["dollars per hour of these", number(fleet.price, ",.0f")],
    ]
    return Grid(f"What {fleet.actors:,} actors need", ("", "number"), rows)
