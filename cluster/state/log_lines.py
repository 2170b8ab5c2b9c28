"""The two forms of a line in a run's log, text and JSON, and how a line of either is read."""

import json
import re
from dataclasses import dataclass
from datetime import datetime

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s%(origin)s: %(message)s"
PROGRESS = "progress"
"""Logger of the lines that say now and then how far a run is, beside what happens in it."""
_PROGRESS_LOGGERS = {PROGRESS, "cluster.display", "cluster.monitor.terminal"}
"""The others are those of runs of 0.1.0."""
_TEXT = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d{3} ([A-Z]+) ([^\s:]+)(?: \[.*?\])?: (.*)")


@dataclass(frozen=True)
class LogLine:
    """What one line says.

    Attributes:
        time: of day, on this machine's clock: `HH:MM:SS`.
        level: its name.
        logger: that wrote it.
        message: without the traceback of an exception.
    """

    time: str
    level: str
    logger: str
    message: str

    @property
    def progress(self) -> bool:
        """Whether it only says how far the run is."""
        return self.logger in _PROGRESS_LOGGERS


def parse_log_line(line: str) -> LogLine | None:
    """Return what a line says, or None if none begins there, as in a traceback of the text form."""
    if found := _TEXT.fullmatch(line):
        return LogLine(*found.groups())
    try:
        row = json.loads(line)
        time = datetime.fromisoformat(row["time"]).astimezone().strftime("%H:%M:%S")
        return LogLine(time, str(row["level"]), str(row["logger"]), str(row["message"]))
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
