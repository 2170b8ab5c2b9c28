"""Log lines that say where they come from: run, role and game; as text, or as one JSON object a line.

A record may name another game than its process, with `log.info(..., extra={"game": game})`; so it may run and role.
"""

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Generator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from cluster.output.literal import paragraph
from cluster.state.log_lines import TEXT_FORMAT
from distill.errors import RunError
from distill.machine_errors import refusal


@dataclass(frozen=True)
class Origin:
    """Where a process's log lines come from; what is not known is None.

    Attributes:
        run: name of the run.
        role: of the process, for example `learner`.
        game: that the process works for, if it is only one.
    """

    run: str | None = None
    role: str | None = None
    game: str | None = None


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, run, role and game where known, exception if there is one.

    Args:
        origin: of records that do not say it themselves.
    """

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_known(record, self._origin),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["exception"] = {
                "type": type(error).__qualname__,
                "message": str(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


class PlainFormatter(logging.Formatter):
    """A line of text with the same fields, and the traceback of an exception below it.

    Args:
        origin: of records that do not say it themselves.
    """

    def __init__(self, origin: Origin) -> None:
        super().__init__(TEXT_FORMAT)
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        known = _known(record, self._origin)
        record.origin = f" [{' '.join(f'{name}={value}' for name, value in known.items())}]" if known else ""
        return paragraph(super().format(record))


class BriefFormatter(logging.Formatter):
    """A time and a message, for who sits before the terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return paragraph(super().format(record))


def formatter(origin: Origin, *, as_json: bool) -> logging.Formatter:
    """Return the formatter for a handler of a process."""
    return JsonFormatter(origin) if as_json else PlainFormatter(origin)


class LogFile(logging.FileHandler):
    """Leaves out what the disk refuses: what goes on stands on standard error too, and nobody should miss it there.

    Args:
        path: the file, which is appended to.

    Attributes:
        refused: lines that were left out.
        newest: why the newest one was.

    Raises:
        RunError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.refused = 0
        self.newest = ""
        try:
            super().__init__(path, encoding="utf-8")
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {refusal(error)}") from error

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of the base class
        """Count a line that the disk refuses; other errors are told as always."""
        error = sys.exception()
        if isinstance(error, OSError):
            self.refused += 1
            self.newest = f"{self.baseFilename}: {refusal(error)}"
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file; what is then still to be written, and cannot be, is left out as well."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_file(path: Path, origin: Origin, *, as_json: bool) -> Generator[LogFile]:
    """Append all log lines of this process to a file too; as JSON, those on standard error are JSON as well."""
    handler = LogFile(path)
    handler.setFormatter(formatter(origin, as_json=as_json))
    root = logging.getLogger()
    plain = [
        (cast(logging.Handler, other), other.formatter)
        for other in root.handlers
        if type(other) is logging.StreamHandler
    ]
    for other, _ in plain if as_json else ():
        other.setFormatter(handler.formatter)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        handler.close()
        for other, before in plain:
            other.setFormatter(before)


def _known(record: logging.LogRecord, origin: Origin) -> dict[str, str]:
    values = {name: getattr(record, name, None) or value for name, value in asdict(origin).items()}
    return {name: str(value) for name, value in values.items() if value is not None}
