"""Lines of a file that grows: each is read once, and one without an end holds up no other."""

from pathlib import Path

import pytest

from cluster.state import line_tail
from cluster.state.line_tail import LineTail


def test_whole_lines_are_read_once(tmp_path: Path):
    path = tmp_path / "lines"
    tail = LineTail(path)
    assert tail.read() == []
    path.write_bytes(b"a\rb\n\nc")
    assert tail.read() == [b"a\rb", b""]
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(b"d\n")
    assert tail.read() == [b"cd"]


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(line_tail, "MOST_BYTES", 8)
    path = tmp_path / "lines"
    path.write_bytes(b"0123456789 long\nshort\n")
    tail = LineTail(path)
    read = [tail.read() for _ in range(3)]
    assert read[0] == []
    assert read[-1] == [b"short"]
