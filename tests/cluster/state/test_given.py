"""A run knows the model files that it is given by their hash, and reads each of them once."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.collecting_actor import CollectorSpec
from cluster import cli
from cluster.state.folder import RunFolder, new_run
from cluster.state.given import GivenModels
from cluster.state.kinds import initial_model, with_teachers
from cluster.state.session import Session
from cluster.workers.players import Players
from distill.config import DistillConfig, RunConfig
from distill.model_card import read_card, write_card
from distill.teach_config import TeachConfig, TeachGeneralConfig
from tests.support.sandbox import TEACHERS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return Path(shutil.copy(TEACHERS / "pong.safetensors", tmp_path / "pong.safetensors"))


def begun(config: RunConfig | TeachConfig) -> tuple[RunFolder, GivenModels]:
    """Return the folder of a run that has just begun, and what it was given."""
    config, teachers = with_teachers(config)
    given = GivenModels.read(teachers, initial_model(config))
    return new_run(config, list(config.general.games), given.record()), given


def distilling(root: Path, teacher: Path) -> RunConfig:
    return RunConfig(general=DistillConfig(root=root, name="demo", teachers=(teacher,)))


def teaching(root: Path, initial: Path | None) -> TeachConfig:
    return TeachConfig(general=TeachGeneralConfig(root=root, name="demo", games=("pong",), initial=initial))


def changed(file: Path) -> None:
    """Put another model under the name of a file: one bit of its last weight is another one, and no card says so."""
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


KINDS: dict[str, tuple[str, str, Callable[[Path, Path], RunConfig | TeachConfig]]] = {
    "teacher": ("run", "teacher of pong", distilling),
    "initial": ("teach", "initial model", teaching),
}


@pytest.mark.parametrize("command, what, config", KINDS.values(), ids=KINDS)
def test_another_file_under_the_same_name_is_refused(
    tmp_path: Path,
    teacher: Path,
    capsys: Capture,
    command: str,
    what: str,
    config: Callable[[Path, Path], RunConfig | TeachConfig],
) -> None:
    folder, given = begun(config(tmp_path / "runs", teacher))
    given.require_recorded(folder)
    expected = given.record()[what]["weights_sha256"]
    assert folder.given() == {what: {"path": str(teacher), "weights_sha256": expected}}
    before = folder.path.joinpath("config.yaml").read_bytes()
    changed(teacher)
    assert cli.run([command, "--resume", str(folder.path)]) == 2
    message = capsys.readouterr().err
    assert (
        f"{what}: expected the weights with SHA-256 {expected[:12]}..., with which the run has begun, found" in message
    )
    assert f"... in {teacher}; put the first file back, or start a new run" in message.replace("\n", " ")
    assert folder.path.joinpath("config.yaml").read_bytes() == before


def test_the_same_file_may_lie_elsewhere(tmp_path: Path, teacher: Path) -> None:
    folder, _ = begun(distilling(tmp_path / "runs", teacher))
    moved = teacher.rename(tmp_path / "elsewhere.safetensors")
    _, teachers = with_teachers(distilling(tmp_path / "runs", moved))
    GivenModels.read(teachers, None).require_recorded(folder)


def test_the_card_may_be_another_one(tmp_path: Path, teacher: Path) -> None:
    folder, _ = begun(distilling(tmp_path / "runs", teacher))
    card = read_card(teacher)
    write_card(teacher, replace(card, scores={"pong": {"episodes": 1, "mean": 3.0, "scores": [3.0]}}))
    _, teachers = with_teachers(distilling(tmp_path / "runs", teacher))
    GivenModels.read(teachers, None).require_recorded(folder)


def test_an_initial_model_cannot_be_added_later(tmp_path: Path, teacher: Path, capsys: Capture) -> None:
    folder, _ = begun(teaching(tmp_path / "runs", None))
    assert cli.run(["teach", "--resume", str(folder.path), "--initial", str(teacher)]) == 2
    assert "initial model: expected none, as the run has begun without" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["", "[]", '{"models": 1}', '{"models": {"teacher of pong": "x"}}', "gone"])
def test_a_folder_that_does_not_say_the_hash_is_refused(
    tmp_path: Path, teacher: Path, capsys: Capture, damage: str
) -> None:
    folder, _ = begun(distilling(tmp_path / "runs", teacher))
    environment = folder.path / "environment.json"
    if damage == "gone":
        environment.unlink()
    else:
        environment.write_text(damage)
    assert cli.run(["run", "--resume", str(folder.path)]) == 2
    assert "teacher of pong: expected the SHA-256 of its weights in" in capsys.readouterr().err


def test_a_teachers_file_is_needed_no_more_once_the_run_has_begun(tmp_path: Path, teacher: Path) -> None:
    config = distilling(tmp_path / "runs", teacher)
    folder, given = begun(config)
    named, _ = with_teachers(config)
    data = teacher.read_bytes()
    teacher.unlink()
    players = Players(Session(folder, named, None, given.teachers))  # pyright: ignore[reportArgumentType] - none needed
    for index in range(3):
        spec = players.spec("pong", index, 0)
        assert isinstance(spec, CollectorSpec) and spec.teacher == data
    assert json.loads((folder.path / "environment.json").read_text())["models"] == given.record()
