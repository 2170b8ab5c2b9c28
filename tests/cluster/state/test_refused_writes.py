"""A write that the machine refuses is counted, told once, and made up for where it must not be lost."""

import errno
import os
from pathlib import Path

import pytest

from cluster.state import owed_rows
from cluster.state.folder import EVALUATIONS, METRICS, RunFolder
from cluster.state.owed_rows import OwedRows
from cluster.state.unwritten import Unwritten
from distill.errors import BufferUnavailable, RunError
from distill.machine_errors import machine_error, refusal_in
from tests.support.no_room import no_room
from tests.support.sandbox import rows


def test_a_refused_write_is_told_once_until_it_is_written_again(tmp_path: Path):
    told: list[str] = []
    unwritten = Unwritten(told.append)
    folder = RunFolder(tmp_path)

    def write(number: int) -> None:
        with unwritten.outlived("metrics"):
            folder.append(METRICS, {"number": number})

    write(1)
    with no_room():
        write(2)
        write(3)
    assert unwritten.counts == {"metrics": 2}
    (first,) = told
    assert first.startswith(f"metrics: run {tmp_path.name}: {tmp_path / METRICS} cannot be written: File too large; ")
    assert "the run goes on" in first
    write(4)
    write(5)
    assert told[1:] == ["metrics: written again; 2 writes were refused so far"]
    assert [row["number"] for row in rows(tmp_path, METRICS)] == [1, 4, 5]


@pytest.mark.parametrize("error", [RunError("no disk"), BufferUnavailable("gone"), ValueError("a bug")])
def test_what_no_disk_has_refused_ends_the_run_as_ever(error: Exception):
    unwritten = Unwritten(print)
    with pytest.raises(type(error)), unwritten.outlived("picture"):
        raise error
    assert not unwritten.counts


def test_evaluations_are_owed_and_written_later_in_their_order(tmp_path: Path):
    told: list[str] = []
    owed = OwedRows(RunFolder(tmp_path), EVALUATIONS, Unwritten(told.append), "evaluation")
    owed.append({"number": 1})
    with no_room():
        for number in (2, 3):
            owed.append({"number": number})
        with pytest.raises(RunError, match=r"2 rows of .*evaluations\.jsonl cannot be written and are lost; make room"):
            owed.require_paid()
    owed.append({"number": 4})
    owed.require_paid()
    assert [row["number"] for row in rows(tmp_path, EVALUATIONS)] == [1, 2, 3, 4]
    assert [line.partition(":")[0] for line in told] == ["evaluation", "evaluation"]


def test_what_is_owed_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(owed_rows, "MOST_OWED", 3)
    owed = OwedRows(RunFolder(tmp_path), EVALUATIONS, Unwritten(lambda _: None), "evaluation")
    with no_room():
        for number in range(3):
            owed.append({"number": number})
        with pytest.raises(RunError, match="4 rows"):
            owed.append({"number": 4})


@pytest.mark.parametrize(
    "number, said",
    [
        (errno.ENOSPC, "No space left on device; make room on that disk"),
        (errno.EROFS, "Read-only file system; choose a place that can be written to"),
        (errno.EMFILE, "Too many open files; raise the limit of open files (`ulimit -n`)"),
        (errno.EISDIR, "Is a directory"),
    ],
)
def test_a_refusal_says_where_what_and_what_to_do(number: int, said: str):
    assert machine_error(OSError(number, os.strerror(number), "/there")) == f"/there: {said}"
    assert machine_error(OSError(number, os.strerror(number), b"/there")) == f"/there: {said}"
    assert machine_error(OSError(number, os.strerror(number), 7)) == said


def test_another_program_says_it_in_its_log():
    assert refusal_in("started\nwriting: No space left on device\nExiting") == (
        "No space left on device; make room on that disk"
    )
    assert refusal_in("started\nno such thing: No such file or directory") is None
