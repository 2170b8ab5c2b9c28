"""YAML files of settings: what people write is taken, all else is refused in one line that says where."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.state.yaml_file import MOST_BYTES, read_yaml
from distill.config import RunConfig, flatten, parse_settings
from distill.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def read(file: Path, text: str | bytes) -> dict[str, Any]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file)


def test_what_people_write_is_taken(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = """
        games: PongNoFrameskip-v4
        teachers: ~/teachers
        root: ~/runs
        updates: 1e6
        name: 2026-11-26
        video: no
        minutes: ~
        tensorboard: on
        learning_rate: 1e-4
        tau: 1.0e-2
    """
    settings = flatten(parse_settings(RunConfig, read(file, text), "run.yaml"))
    assert settings["games"] == ["pong"] and settings["teachers"] == ["/home/me/teachers"]
    assert settings["root"] == "/home/me/runs" and settings["updates"] == 1_000_000
    assert settings["name"] == "2026-11-26" and settings["video"] is False and settings["tensorboard"] is True
    assert settings["minutes"] is None and settings["learning_rate"] == 1e-4 and settings["tau"] == 0.01


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("---\na: 1\n...\n", {"a": 1}),
        (b"\xef\xbb\xbfa: 1\r\nb: x\r\n", {"a": 1, "b": "x"}),
        ("a: 007\nb: 1_000\nc: 1:30\nd: 0x10\ne: 2026-11-26\nf: 1e6",
         {"a": "007", "b": "1_000", "c": "1:30", "d": "0x10", "e": "2026-11-26", "f": "1e6"}),
        ("a: -1\nb: 0.5\nc: 1.0e+6\nd: .inf\ne: +3", {"a": -1, "b": 0.5, "c": 1e6, "d": float("inf"), "e": 3}),
        ("a: yes\nb: No\nc: on\nd: OFF\ne: true\nf: y", {"a": True, "b": False, "c": True, "d": False, "e": True,
                                                        "f": "y"}),
        ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
        ("a: '1'\nb: !!str 2026\nc: \"~\"", {"a": "1", "b": "2026", "c": "~"}),
        ("a: &n 16\nb: *n", {"a": 16, "b": 16}),
        ("a: [x, y]\nb:\n  - z\n", {"a": ["x", "y"], "b": ["z"]}),
        ("<<: 1\n=: 2", {"<<": 1, "=": 2}),
    ],
)  # fmt: skip
def test_values_are_what_they_look_like(text: str | bytes, document: dict[str, Any], file: Path) -> None:
    assert read(file, text) == document


BILLION_LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: expected every key once, found 'a' again"),
        ("a: 1\n'a': 3\n", "line 2, column 1: expected every key once, found 'a' again"),
        ("a: {b: 1, b: 2}\n", "expected every key once, found 'b' again"),
        ("a:\n\t- b\n", "line 2, column 1: found character '\\t' that cannot start any token; indent with spaces"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: expected one document, found another one after it"),
        (BILLION_LAUGHS, "line 2, column 8: expected the list written out again, found its alias *a"),
        ("a: &a [*a]\n", "expected the list written out again"),
        ("a: *b\n", "line 1, column 4: found undefined alias 'b'"),
        ("a: " + "[" * 5_000, "line 1, column 23: expected at most 20 levels"),
        ("a: " + "{b: " * 5_000, "expected at most 20 levels"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1, column 4: expected a value without a tag, found"),
        ("a: !!int x\n", "expected a value without a tag"),
        ("a: !!binary x\n", "expected a value without a tag"),
        ("? [a]\n: 1\n", "line 1, column 3: expected the name of a setting, found a list"),
        ("? {a: 1}\n: 1\n", "expected the name of a setting, found a mapping"),
        ("a: [1\n", "line 2, column 1: expected ',' or ']'"),
        ("a: b: c\n", "line 1, column 5: mapping values are not allowed here"),
        ("a: 'x\n", "line 2, column 1: found unexpected end of stream"),
        ("%YAML 9.9\n---\na: 1\n", "found incompatible YAML document"),
        ("\x07: 1\n", "unacceptable character #x0007"),
        (b"a: \xe9\nb: 1\n", "expected UTF-8, found the byte 0xe9 in line 1; save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "expected text in UTF-8, found UTF-16, UTF-32 or no text; save it as UTF-8"),
        ("a: 1\n".encode("utf-16-le"), "found UTF-16, UTF-32 or no text"),
        ("a: 1\n".encode("utf-32"), "found UTF-16, UTF-32 or no text"),
        ("- a\n", "expected lines such as `batch_size: 64`, found a list"),
        ("hello\n", "expected lines such as `batch_size: 64`, found text"),
        ("3\n", "expected lines such as `batch_size: 64`, found 3"),
        ("# " + "x" * MOST_BYTES, f"expected at most {MOST_BYTES} bytes of settings, found a larger file"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_file_of_settings_is_refused_in_one_line(text: str | bytes, expected: str, file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and expected in message and len(message.splitlines()) == 1


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for place, expected in (
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "expected a file, found a pipe or device"),
        (Path("/dev/zero"), "expected a file, found a pipe or device"),
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path / "link", "No such file or directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        refused: list[str] = []

        def try_it(place: Path = place, refused: list[str] = refused) -> None:
            with pytest.raises(ConfigError) as caught:
                read_yaml(place)
            refused.append(str(caught.value))

        thread = threading.Thread(target=try_it, daemon=True)
        thread.start()
        thread.join(20.0)
        assert refused and expected in refused[0], "it does not wait for a writer"


SETTINGS = [
    name
    for section in RunConfig.model_fields.values()
    for name in getattr(section.annotation, "model_fields")  # noqa: B009
]
PLAIN = st.sampled_from(
    ["1e6", "1.5", "~", "~/x", "$HOME", "yes", "null", ".nan", "-.inf", "2026-11-26", "1:30", "007", "pong", "Pong-v4",
     "true", "[a, b]", "{a: 1}", "&a x", "*a", "!!int x", "'", '"\\ud800"', "|", ">", "- a", "[", "a: b", "\t", "#"]
)  # fmt: skip
LINES = st.lists(st.tuples(st.sampled_from(SETTINGS) | st.text(max_size=5), PLAIN | st.text(max_size=8)), max_size=5)


@given(LINES.map(lambda lines: "\n".join(f"{key}: {value}" for key, value in lines)) | st.text())
@example("a: \x85b: 1")
@example("games: [pong]\n\x1e: 1")
def test_any_text_is_taken_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode(errors="replace"))
    try:
        parse_settings(RunConfig, read_yaml(file), str(file))
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(st.text(), SCALARS | st.lists(SCALARS, max_size=3), max_size=4))
def test_what_a_run_writes_into_its_folder_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert read_yaml(file) == document
