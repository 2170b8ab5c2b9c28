from pathlib import Path

import numpy as np
import pytest
import torch

import distill
from distill.architectures import ARCHITECTURES
from distill.errors import DistillError, ModelFileError
from distill.model_card import ModelCard
from distill.models import save_model
from distill.networks import QNetwork
from distill.student import Student
from tests.support.real_frames import real_frames

ACTIONS = {"pong": 6, "freeway": 3}


@pytest.fixture
def network() -> QNetwork:
    torch.manual_seed(2)
    return QNetwork(ARCHITECTURES["multi3"], ACTIONS)


@pytest.fixture
def student(network: QNetwork, tmp_path: Path) -> Student:
    path = tmp_path / "student.safetensors"
    save_model(path, network, ModelCard("student", network.architecture, ACTIONS))
    return distill.load_student(str(path), seed=1)


def test_it_acts_on_real_observations(student: Student, network: QNetwork) -> None:
    frames = real_frames("freeway")
    with torch.inference_mode():
        expected = network(torch.from_numpy(frames), "freeway").numpy()
    assert student.games == ("pong", "freeway")
    assert (student.actions("pong"), student.actions("freeway")) == (6, 3)
    np.testing.assert_allclose(student.q_values(frames, "freeway"), expected, rtol=0, atol=1e-5)
    actions = student.act(frames, "freeway")
    assert actions.dtype == np.int64
    assert (actions == expected.argmax(axis=1)).all()
    assert student.act(frames[5], "freeway") == actions[5:6]
    assert student.q_values(frames[5], "freeway").shape == (1, 3)
    assert (student.act(frames[:, :, ::-1][:, :, ::-1], "freeway") == actions).all(), "any strides will do"
    assert student.act(frames[:0], "freeway").shape == (0,)


def test_epsilon_is_the_share_of_random_actions(student: Student) -> None:
    frames = np.repeat(real_frames("pong")[:1], 256, axis=0)
    best = student.act(frames, "pong")
    drawn = np.concatenate([student.act(frames, "pong", epsilon=0.3) for _ in range(8)])
    share = float((drawn != best[0]).mean())
    assert 0.2 < share < 0.3, "0.3 x 5/6 = 0.25 of the actions differ from the best one"
    assert set(student.act(frames, "pong", epsilon=1.0).tolist()) == set(range(6))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((84, 84), np.uint8), ((1, 4, 84, 84), np.float32), ((4, 84, 83), np.uint8), ((1, 1, 4, 84, 84), np.uint8)],
)
def test_other_shapes_and_dtypes_are_refused(student: Student, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(DistillError, match=r"expected \[4, 84, 84\] or \[B, 4, 84, 84\] uint8, found"):
        student.act(np.zeros(shape, dtype), "pong")


def test_other_games_epsilons_and_files_are_refused(student: Student, tmp_path: Path) -> None:
    observation = np.zeros((4, 84, 84), np.uint8)
    with pytest.raises(DistillError, match="'qbert': this student plays pong, freeway"):
        student.act(observation, "qbert")
    with pytest.raises(DistillError, match=r"epsilon: expected 0 to 1, found 1\.5"):
        student.act(observation, "pong", epsilon=1.5)
    with pytest.raises(ModelFileError, match="nothing there"):
        distill.load_student(tmp_path / "absent")
