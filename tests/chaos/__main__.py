"""Breaks whole runs and small systems for a while, and writes what came of it: `make chaos`.

    python -m tests.chaos --seconds 300 --seed 1 --out results/chaos.json

First the table, then, taken out one by one, the mends that the checker must miss, then seeded schedules until the time
is up. With `--only`, or without a table, whatever else the file holds stays there, each row with its commit.
`python -m tests.chaos.page > docs/reliability.md` makes the page of it.
"""

import json
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distill.files import write_atomically
from tests.chaos.circumstances import circumstances
from tests.chaos.history import Books
from tests.chaos.mutations import MUTATIONS
from tests.chaos.rows import NOT_TRIED, ROWS, Row
from tests.chaos.schedule import Outcome, run_schedule, schedule
from tests.chaos.table import tabulate

STEPS = 6
"""Steps of a schedule."""


def main() -> int:
    """Do it all; return 1 if a promise was broken."""
    options = _options()
    # What was started is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    here = circumstances()
    found = _found_before(options, here)
    rows = [row for row in ROWS if options.only in f"{row.on}: {row.name}"] if options.times else []
    for result in tabulate(rows, times=options.times, short=options.short):
        found["table"] = _in_order([*found["table"], _say({**asdict(result), **here})])
        _write(found, options)
    if options.mutations:
        found["mutations"] = [_say(_without(name)) for name in MUTATIONS]
    if options.seconds:
        found["schedules"] = _summary(list(_schedules(options.seed, options.seconds))) | here
    _write(found, options)
    missed = [mutation for mutation in found["mutations"] if not mutation["caught"]]
    broken = [result for result in found["table"] if result["failure"]]
    return bool(missed or broken or found["schedules"]["violations"])


def _found_before(options: Namespace, here: dict[str, str]) -> dict[str, Any]:
    """Return what the file holds already, which stays where it is not done again, or the frame of a new one."""
    found: dict[str, Any] = {"table": [], "mutations": [], "schedules": _summary([]) | here}
    if options.out is not None and options.out.exists() and (options.only or not options.times):
        found |= json.loads(options.out.read_text())
    return {**found, "not_tried": NOT_TRIED}


def _in_order(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest result of each row that there is, in the order of the table."""
    newest = {row: result for result in results for row in ROWS if _is_of(result, row)}
    return [newest[row] for row in ROWS if row in newest]


def _is_of(result: dict[str, Any], row: Row) -> bool:
    # Rows of one name differ in how long they last; one that never began lasted for no time.
    return (result["on"], result["row"]) == (row.on, row.name) and result["seconds"] in (*row.seconds, 0.0)


def _write(found: dict[str, Any], options: Namespace) -> None:
    """Write all that is known: what was measured for an hour outlasts the end of this process."""
    if options.out is not None:
        write_atomically(options.out, (json.dumps(found, indent=1) + "\n").encode())


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="for schedules, after everything else; 0 for none")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; those after it count on")
    parser.add_argument("--times", type=int, default=3, help="that each row of the table is done; 0 for no table")
    parser.add_argument("--short", action="store_true", help="let the table's faults last seconds")
    parser.add_argument("--only", default="", help="only rows of the table with this in `KIND: NAME`")
    parser.add_argument(
        "--mutations", action="store_true", help="show that the checker misses mends that are taken out"
    )
    parser.add_argument("--out", type=Path, help="file to write")
    return parser.parse_args()


def _say(row: dict[str, Any]) -> dict[str, Any]:
    """Print a line while there is time to wait for the next."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
    return row


def _without(mutation: str) -> dict[str, Any]:
    """Run the schedule that a mend is for, without the mend."""
    taken_out = MUTATIONS[mutation]
    violations = run_schedule(1, taken_out.steps, mutation).violations
    caught = [violation.what for violation in violations if violation.kind == taken_out.kind]
    return {
        "mutation": mutation,
        "what": taken_out.what,
        "kind": taken_out.kind,
        "caught": len(caught),
        "first": caught[:1],
    }


def _schedules(seed: int, seconds: float) -> Iterator[Outcome]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sys.stdout.write(f"seed {seed}: ")
        outcome = run_schedule(seed, schedule(seed, STEPS))
        sys.stdout.write(f"{outcome.books}, {len(outcome.violations)} violations\n")
        for violation in outcome.violations:
            sys.stdout.write(f"  {violation.kind}: {violation.what}\n")
        sys.stdout.flush()
        yield outcome
        seed += 1


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    faults = Counter(span.fault for outcome in outcomes for step in outcome.steps for span in step)
    recoveries = [seconds for outcome in outcomes for seconds in outcome.recoveries if seconds is not None]
    return {
        "seeds": [outcome.seed for outcome in outcomes],
        "faults": dict(sorted(faults.items())),
        "slowest_recovery": round(max(recoveries, default=0.0), 1),
        "books": asdict(sum((outcome.books for outcome in outcomes), Books())),
        "violations": [
            {"seed": outcome.seed, "kind": violation.kind, "what": violation.what}
            for outcome in outcomes
            for violation in outcome.violations
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
