"""Writes the page about reliability from what was measured: `python -m tests.chaos.page > docs/reliability.md`."""

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "results"

_HEAD = """\
# What happens when something breaks

Written by `python -m tests.chaos.page` from `results/chaos.json` and `results/soak.json`; a test fails when it is not
what they say. What is promised stands in [buffer.md](buffer.md); here it is tried.
"""

_TABLE = """\
## Whole runs

`make chaos` does each of these to a real `distill run` or `online`: real signals, a real Redis, a TCP proxy. Well again
is a run once all its processes live, chunks come, and every learner has saved more updates than it had at the end
of the fault; for a run that ends, the time is that of `--resume`, start of Ray included. Lost chunks and doubled
transitions are counted from outside: from the stream, which is read all the time, and the newest checkpoint.
"""

_SCHEDULES = """\
## Small systems under random faults

Producers, a learner, a coordinator and Redis, each a process with the product's own classes, under seeded schedules of
faults. Every part keeps a journal; at the end a checker compares them (`tests/chaos/history.py` says what it calls
trained, refused, stored, trimmed and gone with Redis). Every acknowledged chunk is in exactly one of these books.
"""

_MUTATIONS = """\
## What the checker catches

A mend is taken out while the program runs, and the schedule that it is for is run once more.
"""

_SOAK = """\
## Thirty minutes

`make soak` lets a run train. After five minutes its rings are full, after forty what Ray keeps of its first calls, and
it is measured every few seconds for thirty more. A slope is that of a line, with its 95 % interval, over an hour. It
is none if the interval includes 0, or if what it adds in an hour is below the allowance. Memory is what a process has
of its own; up to commit f760faf it was resident memory, of which the kernel took pages of files back while container
images were built beside the soak.
"""


def page(chaos: dict[str, Any], soak: dict[str, Any] | None) -> str:
    """Return the page as Markdown."""
    schedules, books = chaos["schedules"], chaos["schedules"]["books"]
    done = (
        f"{len(schedules['seeds'])} schedules with {sum(schedules['faults'].values())} faults;"
        f" {len(schedules['violations'])} violations. The slowest recovery took {schedules['slowest_recovery']} s."
    )
    head = ["fault", "lasts, s", "run", "promise", "well again, s", "times", "lost", "doubled", "green"]
    parts = [
        _HEAD,
        f"{_measured([*chaos['table'], schedules])}\n",
        _TABLE,
        _table(head, [_result(row) for row in chaos["table"]]),
        "".join(f"Not tried: {fault}, since {why}.\n\n" for fault, why in chaos["not_tried"].items()),
        _SCHEDULES,
        f"{done}\n",
        _table([_words(name) for name in books], [[f"{count:,}" for count in books.values()]]),
        _table(["fault", "times"], [[name, str(times)] for name, times in schedules["faults"].items()]),
    ]
    if schedules["violations"]:
        rows = [[str(row["seed"]), row["kind"], row["what"]] for row in schedules["violations"]]
        parts.append(_table(["seed", "violation", "what"], rows))
    if chaos["mutations"]:
        rows = [
            [row["what"], row["kind"] if row["caught"] else "**nothing**", *row["first"]] for row in chaos["mutations"]
        ]
        parts += [_MUTATIONS, _table(["taken out", "caught as", "the first of it"], rows)]
    if soak is not None:
        parts += [_SOAK, _soaked(soak)]
    return "\n".join(parts)


def _measured(parts: list[dict[str, Any]]) -> str:
    """Say on which machines and commits these were measured."""
    commits: dict[str, list[str]] = {}
    for part in parts:
        known = commits.setdefault(part["machine"], [])
        if part["commit"] not in known:
            known.append(part["commit"])
    return f"Measured on {'; '.join(f'{machine}, commit {_and(found)}' for machine, found in commits.items())}."


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _result(row: dict[str, Any]) -> list[str]:
    recovery = "-" if row["recovery"] is None else f"{row['recovery']:g}"
    run = "run, user's Redis" if row["on"] == "users_redis" else row["on"]
    green = f"no: {_line(row['failure'])}" if row["failure"] else "yes"
    counts = [str(row[name]) for name in ("times", "lost", "doubled")]
    lasts = f"{row['seconds']:g}" if row["seconds"] else ""
    return [row["row"], lasts, run, row["promise"], recovery, *counts, green]


def _soaked(soak: dict[str, Any]) -> str:
    rows = [
        [row["who"], row["what"], f"{row['mean']:,.0f}", f"{row['slope']:+,.1f}",
         f"{row['low']:+,.1f} to {row['high']:+,.1f}", "no" if row["rises"] else "yes"]
        for row in soak["slopes"]
    ]  # fmt: skip
    said = f"{soak['minutes']:g} minutes on {soak['machine']}, commit {soak['commit']}, {soak['samples']} samples.\n\n"
    return said + _table(["who", "what", "mean", "slope in an hour", "interval", "flat"], rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_line(cell) for cell in line)} |\n" for line in lines)


def read(name: str) -> dict[str, Any] | None:
    """Return what was measured, None if it never was."""
    path = RESULTS / name
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    chaos = read("chaos.json")
    if chaos is None:
        sys.exit("results/chaos.json: not there; make it with `make chaos`")
    sys.stdout.write(page(chaos, read("soak.json")))
