"""What a run's folder knows of its checkpoints, and what may be lost of them in silence: the newest one alone."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.models.mirror import ModelMirror
from cluster.state.folder import RunFolder
from cluster.state.progress import FILE, Acknowledged, Progress
from distill.errors import RunError


@pytest.mark.parametrize(
    "newest, before, found, allowed",
    [
        (0, 0, None, True),
        (9_000, 8_000, 9_000, True),
        (9_000, 8_000, 9_500, True),
        (9_000, 8_000, 8_000, True),
        (9_000, 8_000, 7_999, False),
        (9_000, 8_000, None, False),
        (60, 0, None, False),
        (60, 0, 0, False),
        (60, 0, 30, True),
    ],
)
def test_the_newest_one_alone_may_be_lost(newest: int, before: int, found: int | None, allowed: bool):
    assert Acknowledged(newest, before).allows(found) == allowed


def test_it_is_kept_and_follows_a_learner_that_began_anew(tmp_path: Path):
    progress = Progress(RunFolder(tmp_path))
    for updates in (0, 100, 100, 200):
        progress.acknowledge("student", updates)
    progress.acknowledge("pong", 7)
    progress = Progress(RunFolder(tmp_path))
    assert (progress.of("student"), progress.of("pong")) == (Acknowledged(200, 100), Acknowledged(7, 0))
    progress.acknowledge("student", 100)
    assert progress.of("student") == Acknowledged(100, 100)
    for lost in (99, 0):
        with pytest.raises(RunError, match=f"learner of student: expected .* update 100, .* found {lost}:"):
            progress.acknowledge("student", lost)
    assert Progress(RunFolder(tmp_path)).of("student") == Acknowledged(100, 100)


@given(content=st.one_of(st.binary(max_size=40), st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_whatever_stands_in_its_place_counts_as_nothing(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    folder = tmp_path_factory.mktemp("run")
    (folder / FILE).write_bytes(content)
    assert Progress(RunFolder(folder)).of("student") is None


def test_without_it_the_published_models_say_how_far_training_had_come(tmp_path: Path):
    mirror = ModelMirror(tmp_path, "student")
    assert Progress(RunFolder(tmp_path)).of("student") is None
    for version in (1, 2, 3):
        mirror.store(version, b"model", json.dumps({"updates": 50 * version}))
    mirror.store(4, b"model", "no JSON")
    assert Progress(RunFolder(tmp_path)).of("student") == Acknowledged(150, 100)
