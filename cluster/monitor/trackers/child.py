"""The process in which a tracker works: it reads figures from standard input, and answers each line with one.

Use: `python -m cluster.monitor.trackers.child KIND`. The first line says what is tracked, each other one holds figures,
the last one is `END`. The answer to each but the first is `TAKEN`, or one line of why not.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from cluster.monitor.trackers.catalogue import make_tracker
from cluster.monitor.trackers.tracker import Tracked, Tracker

TAKEN = "taken"
END = "null"
CLOSE_SECONDS = 60
"""Within which what is kept must be in its place when the run has died, or it is given up."""


def main() -> None:
    """Work until the input ends."""
    # Libraries print on standard output, which is for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    kind = sys.argv[1]
    run = Tracked(**_described(json.loads(sys.stdin.readline())))
    tracker: Tracker | None = None
    for line in sys.stdin:
        try:
            if (figures := json.loads(line)) is not None:
                tracker = tracker or make_tracker(kind, run)
                tracker.write(*figures)
            elif tracker is not None:
                tracker.close()
                tracker = None
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the run goes on
            _answer(answers, f"{type(error).__name__}: {error}".rstrip(": "))
        else:
            _answer(answers, TAKEN)
    if tracker is not None:
        # The run was killed. Its figures shall not be lost, nor this process stay for ever.
        signal.alarm(CLOSE_SECONDS)
        tracker.close()


def _described(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"folder": Path(found["folder"])}


def _answer(answers: TextIO, text: str) -> None:
    answers.write(" ".join(text.split()) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
