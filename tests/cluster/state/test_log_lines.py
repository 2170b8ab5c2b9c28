"""Lines of a run's log in either form: what was logged is read back, and what is no line harms nothing."""

import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.monitor import terminal
from cluster.monitor.logs import Origin, formatter
from cluster.output.literal import literal
from cluster.state.log_lines import LogLine, parse_log_line

CREATED = 1795354722.6899
CLOCK = time.strftime("%H:%M:%S", time.localtime(CREATED))

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(
    message=TEXT,
    level=st.sampled_from([logging.INFO, logging.WARNING, logging.ERROR]),
    run=st.none() | st.sampled_from(["demo", "a run", "[old]", "a: b"]),
    role=st.none() | st.just("learner"),
    as_json=st.booleans(),
)
def test_what_is_logged_is_read_back(message: str, level: int, run: str | None, role: str | None, as_json: bool):
    record = logging.LogRecord("cluster.state.session", level, "session.py", 7, message, (), None)
    record.created, record.msecs = CREATED, 689.0
    line = formatter(Origin(run, role), as_json=as_json).format(record)
    # In text, what is not printable is written out.
    said = message if as_json else literal(message)
    assert parse_log_line(line) == LogLine(CLOCK, record.levelname, "cluster.state.session", said)


@pytest.mark.parametrize("as_json", [True, False])
def test_progress_is_told_from_what_happens(as_json: bool):
    for name, progress in ((terminal.log.name, True), ("cluster.state.session", False)):
        record = logging.LogRecord(name, logging.INFO, "x.py", 7, "42 updates", (), None)
        said = parse_log_line(formatter(Origin("demo", "run"), as_json=as_json).format(record))
        assert said is not None
        assert said.progress == progress


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "2026-11-01 10:11:12,345 INFO cluster.session: student 3: pong 20.0",
            LogLine("10:11:12", "INFO", "cluster.session", "student 3: pong 20.0"),
        ),
        (
            "2026-11-01 10:11:12,345 WARNING cluster.run_session [run=small role=run]: late",
            LogLine("10:11:12", "WARNING", "cluster.run_session", "late"),
        ),
    ],
)
def test_lines_of_0_1_0_are_read(line: str, expected: LogLine):
    said = parse_log_line(line)
    assert said == expected
    assert not said.progress


@pytest.mark.parametrize("logger", ["cluster.display", "cluster.monitor.terminal"])
def test_progress_of_0_1_0_is_known(logger: str):
    said = parse_log_line(f"2026-11-01 10:11:12,345 INFO {logger} [run=small role=run]: 42 updates")
    assert said is not None
    assert said.progress


@pytest.mark.parametrize(
    "line",
    [
        "", "Traceback (most recent call last):", '  File "x.py", line 3', "{", "null", "[]", "3", "{}", '"text"',
        '{"time": 3, "level": "INFO", "logger": "x", "message": "y"}',
        '{"time": "yesterday", "level": "INFO", "logger": "x", "message": "y"}',
        '{"time": "0001-01-01T00:00:00+14:00", "level": "INFO", "logger": "x", "message": "y"}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_line_is_left_out(line: str):
    assert parse_log_line(line) is None


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_without_an_error(line: str):
    parse_log_line(line)
