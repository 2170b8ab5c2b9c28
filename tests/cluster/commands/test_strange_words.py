"""Whatever a user writes as a name, path, id or YAML: it works, or one message says why not, and nothing is lost."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import cli
from cluster.state.folder import new_run
from distill.config import DistillConfig, RunConfig, flatten
from distill.teach_config import TeachConfig
from tests.support.sandbox import TEACHERS

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
OURS = ("one", "runs/one", "./runs/one", "runs")
THEIRS = (
    "thesis.txt",
    "runs/thesis.txt",
    "runs/mine",
    "runs/mine/config.yaml",
    "runs/link",
    "link.txt",
    "nothing.json",
)
WORDS = (
    "",
    ".",
    "..",
    "/",
    "~",
    "$HOME",
    "*",
    "[old]",
    "[/b]",
    "a b",
    "é",
    "字",
    "\x1b[2J",
    "\n",
    "\u202e",
    "a" * 300,
    "-",
)

pieces = st.one_of(
    st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
)
paths = st.one_of(
    st.sampled_from((*OURS, *THEIRS)),
    st.lists(st.one_of(pieces, st.sampled_from((*OURS, *THEIRS))), min_size=1, max_size=3).map("/".join),
    # Nothing of this machine's own may be meant: absolute paths lead into the folder, or nowhere.
).filter(lambda path: not os.path.isabs(path))  # noqa: PTH117 - a text, not yet a path
games = st.one_of(st.sampled_from(("pong", "Pong-v4", "ALE/Breakout-v5", "combat", "pongg")), pieces)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), pieces, st.dates(), st.sampled_from(("1e6", "yes", "~"))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(pieces, inner, max_size=3)),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from(sorted(flatten(RunConfig()) | flatten(TeachConfig()))), pieces)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder: files of his own, a run, a folder that only looks like one, and links."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Path(folder).resolve() / "desk"
        (desk / "runs" / "mine").mkdir(parents=True)
        for name in ("thesis.txt", "runs/thesis.txt", "runs/mine/config.yaml", "runs/mine/thesis.txt"):
            (desk / name).write_text("years of work")
        new_run(RunConfig(general=DistillConfig(root=desk / "runs", name="one")), ["pong"])
        (desk / "runs" / "one" / "notes.txt").write_text("years of work")
        (desk / "runs" / "link").symlink_to("mine")
        (desk / "link.txt").symlink_to("thesis.txt")
        monkeypatch.chdir(desk)
        monkeypatch.setenv("HOME", str(desk / "home"))
        yield desk


def own_files(desk: Path) -> dict[str, object]:
    """Return what is there of the user's own, and what is on it; of the folders beside the desk as well."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in desk.parent.rglob("*")
        if path.is_symlink() or path.name in ("thesis.txt", "notes.txt") or "mine" in path.parts
    }


def distill(*words: str) -> tuple[int, str]:
    """Run a command; return its code and what it said on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(words)
    return code, err.getvalue()


def works_or_says_why(desk: Path, *words: str) -> None:
    before = own_files(desk)
    code, said = distill(*words)
    assert code in (0, 2), (words, said)
    assert "Traceback" not in said
    if code == 2:
        # A sentence, or the box in which tyro says which option it could not read.
        errors = [line for line in said.splitlines() if line.startswith(("distill ", "╭"))]
        assert len(errors) == 1, (words, said)
    assert own_files(desk) == before, words


@EXAMPLES
@given(name=st.one_of(paths, pieces))
def test_a_run_of_any_name_is_deleted_or_not(desk: Path, name: str):
    works_or_says_why(desk, "runs", f"--delete={name}")
    works_or_says_why(desk, "runs")
    if not (desk / "runs" / "one").exists():
        pytest.fail(f"{name!r} has deleted the folder with the user's notes")


@EXAMPLES
@given(
    command=st.sampled_from(
        ("runs", "report", "models", "scale-actors", "evaluate", "export", "teachers", "import", "play", "disagree")
    ),
    path=paths,
    out=paths,
    game=games,
)
def test_any_path_and_any_game_is_taken_or_refused(desk: Path, command: str, path: str, out: str, game: str):
    words = {
        "runs": ("runs", f"--root={path}"),
        "report": ("report", f"./{path}", f"--out={out}"),
        "models": ("models", f"./{path}", f"--lineage={game}", f"--export={out}"),
        "scale-actors": ("scale-actors", f"./{path}", f"./{game}=3"),
        "evaluate": ("evaluate", f"./{path}", f"--out={out}", f"--games={game}"),
        "export": ("export", f"./{path}", f"./{out}", f"--games={game}"),
        "teachers": ("teachers", f"--teachers={path}"),
        "play": ("play", f"./{path}", f"--out={out}.mp4", f"--games={game}"),
        "disagree": ("disagree", f"./{path}", f"--out={out}", f"--games={game}"),
        "import": ("import-teacher", f"./{path}", f"--game={game}", f"--out={out}"),
    }[command]
    works_or_says_why(desk, *words)


@EXAMPLES
@given(name=pieces, root=paths, game=games)
def test_any_run_begins_or_is_refused_before_anything_is_made(desk: Path, name: str, root: str, game: str):
    # Without a teacher none of them begins, so all that is seen is what is made before that.
    (desk / "none").mkdir(exist_ok=True)
    before = {str(path) for path in desk.parent.rglob("*")}
    works_or_says_why(desk, "run", "--teachers=none", f"--name={name}", f"--root={root}", f"--games={game}", "--serial")
    assert {str(path) for path in desk.parent.rglob("*")} == before


@EXAMPLES
@given(document=st.dictionaries(keys, values, max_size=4), command=st.sampled_from(("run", "teach", "online")))
def test_any_yaml_is_taken_or_refused(desk: Path, document: dict, command: str):
    (desk / "settings.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    (desk / "none").mkdir(exist_ok=True)
    before = {str(path) for path in desk.parent.rglob("*")}
    # A bad option at the end: what the file says is judged, and no run begins.
    works_or_says_why(desk, command, "--config=settings.yaml", "--minutes=-1")
    assert {str(path) for path in desk.parent.rglob("*")} == before


def test_the_desk_would_notice(desk: Path):
    before = own_files(desk)
    (desk / "runs" / "mine" / "thesis.txt").unlink()
    assert own_files(desk) != before
    assert TEACHERS.is_dir() and sys.version_info >= (3, 11)
