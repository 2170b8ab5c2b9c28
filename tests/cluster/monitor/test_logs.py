"""Log lines as text and as JSON: their fields, exceptions, and where they go."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.monitor.logs import Origin, formatter, log_file

ORIGIN = Origin(run="demo", role="learner", game="pong")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before when the test has ended."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("cluster.state.session", logging.WARNING, "session.py", 7, message, arguments, None)
    made.__dict__.update(fields)
    return made


def parsed(made: logging.LogRecord, origin: Origin = ORIGIN) -> dict:
    line = formatter(origin, as_json=True).format(made)
    assert "\n" not in line
    return json.loads(line)


def test_a_json_line_has_all_fields():
    made = record("student %d: %.1f", 3, 10.5, created=1795354722.6899)
    assert parsed(made) == {
        "time": "2026-11-22T13:38:42.689+00:00",
        "level": "WARNING",
        "logger": "cluster.state.session",
        "message": "student 3: 10.5",
        "run": "demo",
        "role": "learner",
        "game": "pong",
    }


def test_what_is_not_known_is_left_out():
    assert not {"run", "role", "game"} & parsed(record("starting"), Origin()).keys()
    line = formatter(Origin(), as_json=False).format(record("starting"))
    assert line.endswith(" WARNING cluster.state.session: starting")


def test_a_record_may_name_its_own_game():
    made = record("played", game="breakout")
    assert parsed(made)["game"] == "breakout"
    assert "[run=demo role=learner game=breakout]: played" in formatter(ORIGIN, as_json=False).format(made)


@pytest.mark.parametrize("message", ['a "quoted"\nsecond line', "\u2028 \ud800 \x00", "é"])
def test_any_message_is_one_line_of_json_and_comes_back_whole(message: str):
    line = formatter(ORIGIN, as_json=True).format(record(message))
    assert len(line.splitlines()) == 1
    assert json.loads(line.encode())["message"] == message


def raised() -> logging.LogRecord:
    try:
        try:
            raise KeyError("the first cause")
        except KeyError as error:
            raise ValueError("what came of it") from error
    except ValueError as error:
        return record("it failed", exc_info=(type(error), error, error.__traceback__))


def test_an_exception_is_told_in_full_in_both_forms():
    exception = parsed(raised())["exception"]
    assert (exception["type"], exception["message"]) == ("ValueError", "what came of it")
    assert "the first cause" in exception["traceback"]
    text = formatter(ORIGIN, as_json=False).format(raised())
    assert "it failed" in text.splitlines()[0]
    assert "the first cause" in text


def test_a_file_gets_lines_only_while_it_is_open(tmp_path: Path, root: logging.Logger):
    root.setLevel(logging.INFO)
    log = logging.getLogger("cluster.test")
    with log_file(tmp_path / "run.log", ORIGIN, as_json=True):
        log.info("within")
    log.info("after")
    with log_file(tmp_path / "run.log", ORIGIN, as_json=True):
        log.info("again", extra={"game": "breakout"})
    lines = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert [(line["message"], line["game"]) for line in lines] == [("within", "pong"), ("again", "breakout")]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(lines[0]["time"])).total_seconds()) < 60.0


def test_as_json_the_lines_on_standard_error_are_too_while_the_file_is_open(tmp_path: Path, root: logging.Logger):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("plain %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    log = logging.getLogger("cluster.test")
    try:
        with log_file(tmp_path / "run.log", ORIGIN, as_json=True):
            log.info("first")
        log.info("second")
        with log_file(tmp_path / "run.log", ORIGIN, as_json=False):
            log.info("third")
    finally:
        root.removeHandler(handler)
    first, *rest = stream.getvalue().splitlines()
    assert json.loads(first)["run"] == "demo"
    assert rest == ["plain second", "plain third"]
