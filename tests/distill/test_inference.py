from pathlib import Path

import numpy as np
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.errors import DistillError
from distill.inference import _TorchQFunction, make_q_function
from distill.models import load_model
from distill.networks import QNetwork
from tests.support.real_frames import real_frames

TEACHERS = sorted((Path(__file__).parents[2] / "teachers").glob("*.safetensors"))


def exact(network: QNetwork, observations: np.ndarray, game: str) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(observations), game).numpy()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", TEACHERS, ids=lambda path: path.stem)
def test_labels_of_committed_teachers_equal_eager_float32(path: Path, threads: int) -> None:
    network, card = load_model(path)
    (game,) = card.actions
    frames = real_frames(game)
    q_function = make_q_function(network, threads=threads)
    for batch in (frames[:1], frames[:16], frames):
        found = q_function(batch, game)
        assert (found.shape, found.dtype) == ((len(batch), card.actions[game]), np.float32)
        np.testing.assert_allclose(found, exact(network, batch, game), rtol=0, atol=1e-5)


def test_every_game_of_a_multi_game_network() -> None:
    network = QNetwork(ARCHITECTURES["multi3"], {"pong": 6, "qbert": 6, "freeway": 3})
    q_function = make_q_function(network)
    frames = real_frames("pong")[:8]
    for game in ("qbert", "pong", "freeway", "qbert"):
        np.testing.assert_allclose(q_function(frames, game), exact(network, frames, game), rtol=0, atol=1e-5)
    with pytest.raises(DistillError, match="'enduro'"):
        q_function(frames, "enduro")


def test_a_q_function_keeps_the_weights_it_was_made_from() -> None:
    network = QNetwork(ARCHITECTURES["net3"], {"pong": 6, "freeway": 3})
    frames = real_frames("pong")[:4]
    expected = exact(network, frames, "freeway")
    q_function = make_q_function(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    np.testing.assert_allclose(q_function(frames, "freeway"), expected, rtol=0, atol=1e-5)


def test_the_function_for_gpus_computes_on_whatever_device_it_is_given() -> None:
    network = QNetwork(ARCHITECTURES["multi3"], {"pong": 6, "qbert": 6})
    frames = real_frames("pong")[:8]
    expected = exact(network, frames, "qbert")
    q_function = _TorchQFunction(network, "cpu")
    with torch.no_grad():
        network.conv1.weight.zero_()
    np.testing.assert_allclose(q_function(frames, "qbert"), expected, rtol=0, atol=1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="without a CUDA device")
@pytest.mark.parametrize("path", TEACHERS, ids=lambda path: path.stem)
def test_labels_from_a_gpu_equal_those_of_the_cpu(path: Path) -> None:
    network, card = load_model(path)
    (game,) = card.actions
    frames = real_frames(game)
    found = make_q_function(network, "cuda")(frames, game)
    np.testing.assert_allclose(found, exact(network, frames, game), rtol=0, atol=1e-5)
