"""What tests of runs that grow and shrink share."""

from pathlib import Path

from tests.support.sandbox import UNTRAINED, Distill, Sandbox, rows

ENDLESS = ("--updates", "100000000", "--actors", "1", *UNTRAINED)


def collectors(run: Path) -> dict[str, int]:
    """Return the transitions of every collector in the newest line of metrics."""
    metrics = rows(run, "metrics.jsonl")
    return {name: told["transitions"] for name, told in metrics[-1]["collectors"].items()} if metrics else {}


def scale(sandbox: Sandbox, run: Path, *counts: str) -> str:
    process = sandbox.distill("scale-actors", str(run), *counts)
    assert process.code == 0, process.output
    return process.output


def until_collecting(run: Distill, folder: Path, names: set[str]) -> None:
    """Wait until these collectors, and no others, are there and have handed over transitions."""
    run.until(lambda: len(run.actors("Collector")) == len(names), f"{len(names)} processes", 90.0)
    until_delivering(run, folder, names)


def until_delivering(run: Distill, folder: Path, names: set[str]) -> None:
    """Wait until these collectors, and no others, have handed over transitions."""
    run.until(lambda: {name for name, count in collectors(folder).items() if count} == names, f"{names}", 90.0)
