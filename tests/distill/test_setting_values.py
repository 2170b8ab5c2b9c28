"""Settings as people write them, in YAML and as flags, and messages that say what was expected."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config import RunConfig, flatten, parse_settings
from distill.errors import ConfigError
from distill.setting_errors import MOST_PROBLEMS
from distill.setting_values import meant_path
from distill.teach_config import OnlineConfig

HOME = "/home/somebody"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("SCRATCH", "/scratch/me")


def taken(**settings: Any) -> list[Any]:
    values = flatten(parse_settings(RunConfig, settings, "run.yaml"))
    return [values[name] for name in settings]


@pytest.mark.parametrize(
    ("setting", "written", "meant"),
    [
        ("games", "pong", ["pong"]),
        ("games", ["Pong-v4", "ALE/Breakout-v5"], ["pong", "breakout"]),
        ("teachers", "x", ["x"]),
        ("teachers", "~/teachers", [f"{HOME}/teachers"]),
        ("teachers", ["~/a", Path("b")], [f"{HOME}/a", "b"]),
        ("updates", "1e6", 1_000_000),
        ("updates", 1.0e6, 1_000_000),
        ("updates", "2.5E+3", 2_500),
        ("updates", "1_000", 1_000),
        ("updates", " 64 ", 64),
        ("seed", "007", 7),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", 1, 1.0),
        ("minutes", "1e2", 100.0),
        ("minutes", None, None),
        ("minutes", "None", None),
        ("sample_to_insert", "None", None),
        ("name", 2026, "2026"),
        ("name", "2026-11-26", "2026-11-26"),
        ("name", "None", "None"),
        ("root", "~/runs", f"{HOME}/runs"),
        ("root", "~", HOME),
        ("root", "$HOME/runs", f"{HOME}/runs"),
        ("root", "${SCRATCH}/runs", "/scratch/me/runs"),
        ("root", "./~/runs", str(Path.cwd() / "~/runs")),
        ("root", "./$a", str(Path.cwd() / "$a")),
        ("root", "a$b", "a$b"),
        ("root", "runs/~", "runs/~"),
        ("metrics_targets", "$SCRATCH", "/scratch/me"),
        ("video", "off", False),
        ("video", "yes", True),
    ],
)
def test_what_people_write_is_taken(setting: str, written: Any, meant: Any) -> None:
    assert taken(**{setting: written}) == [meant]


@pytest.mark.parametrize(
    ("setting", "written", "expected"),
    [
        ("batch_size", True, "batch_size: expected a whole number, found True"),
        ("batch_size", "many", "batch_size: expected a whole number, found 'many'"),
        ("updates", "1e999999999", "updates: expected a whole number, found '1e999999999'"),
        ("updates", "1e-999999999", "updates: expected a whole number, found"),
        ("updates", "0x10", "updates: expected a whole number, found '0x10'"),
        ("updates", None, "updates: expected a whole number, found nothing"),
        ("seed", 1.5, "seed: expected a whole number, found 1.5"),
        ("seed", "1.5", "seed: expected a whole number, found '1.5'"),
        ("seed", float("nan"), "seed: expected a whole number, found nan"),
        ("seed", "Infinity", "seed: expected a whole number, found 'Infinity'"),
        ("seed", 2**31, "seed: expected less than 2147483648, found 2147483648"),
        ("lanes", [3], "lanes: expected a whole number, found [3]"),
        ("lanes", 0, "lanes: expected at least 1, found 0"),
        ("tau", True, "tau: expected a number, found True"),
        ("tau", "1:30", "tau: expected a number, found '1:30'"),
        ("tau", 10**400, "tau: expected a number, found 1"),
        ("games", [1, 2], "game '1': not one of the 104 games"),
        ("games", [True], "games: expected text, found True"),
        ("games", {"pong": 1}, "games: expected text, found {'pong': 1}"),
        ("games", [["pong"]], "games: expected text, found ['pong']"),
        ("games", None, "games: expected a list, found nothing"),
        ("name", 1.5, "name: expected text, found 1.5"),
        ("name", True, "name: expected text, found True"),
        ("student", "Net1", "student: expected 'teacher', 'net1', 'net2'"),
        ("video", "perhaps", "video: expected true or false, found 'perhaps'"),
        ("video", 2, "video: expected true or false, found 2"),
        ("root", 3, "root: expected a path, found 3"),
        ("root", "", "root: expected a path, found ''"),
        ("root", "a\0b", r"root: expected a path, found 'a\x00b'"),
        ("root", None, "root: expected a path, found nothing"),
        ("root", "$NOWHERE/runs", "root: expected $NOWHERE to be set in the environment (./$NOWHERE/runs if"),
        ("root", "~no-user/runs", "root: expected a home folder for ~no-user, but none is known: set HOME, or"),
        ("Batch-Size", 3, "unknown setting 'Batch-Size' (did you mean 'batch_size'?)"),
        ("preset", ["fast"], "unknown setting 'preset'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_what_was_expected(setting: str, written: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(RunConfig, {setting: written}, "run.yaml")
    assert expected in str(caught.value) and str(caught.value).startswith("run.yaml: ")


FLOATS = sorted(
    name
    for kind in (RunConfig, OnlineConfig)
    for section in kind.model_fields.values()
    for name, field in getattr(section.annotation, "model_fields").items()  # noqa: B009 - of any section
    if field.annotation in (float, float | None)
)


@pytest.mark.parametrize("setting", sorted(set(FLOATS)))
@pytest.mark.parametrize("written", [float("inf"), float("-inf"), float("nan"), "inf", "nan"])
def test_every_number_is_finite(setting: str, written: Any) -> None:
    for kind in (RunConfig, OnlineConfig):
        with pytest.raises(ConfigError, match=r"expected a finite number|unknown setting"):
            parse_settings(kind, {setting: written}, "run.yaml")


def test_a_home_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    # Then Python asks the user database, which has no home for a user that a container made up.
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    with pytest.raises(ValueError, match="set HOME, or write the whole path"):
        meant_path("~/runs")
    with pytest.raises(ValueError, match=r"expected \$HOME to be set"):
        meant_path("$HOME/runs")


def test_a_message_stays_short() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(RunConfig, {"games": [["x" * 10_000]] * 1_000, "tau": "y\n" * 10_000}, "run.yaml")
    assert len(str(caught.value)) < 500 * MOST_PROBLEMS
    with pytest.raises(ConfigError) as caught:
        parse_settings(RunConfig, {f"key{number}": 1 for number in range(10_000)}, "run.yaml")
    assert len(str(caught.value)) < 500 * MOST_PROBLEMS


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [name for section in RunConfig.model_fields.values() for name in getattr(section.annotation, "model_fields")]  # noqa: B009
)


@given(st.dictionaries(KEYS | st.text(), VALUES, max_size=4))
def test_any_settings_are_taken_or_refused_in_one_line(settings: dict[str, Any]) -> None:
    try:
        parse_settings(RunConfig, settings, "run.yaml")
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


@given(st.integers(0, 2**31 - 1), st.sampled_from(["{}", "{:_}", "{}.0", "{:e}", " {}"]))
def test_a_whole_number_is_the_same_in_every_notation(number: int, notation: str) -> None:
    written = notation.format(number)
    if float(written.replace("_", "")) == number:
        assert taken(seed=written) == [number]
