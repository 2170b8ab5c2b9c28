import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.errors import DistillError, ModelFileError
from distill.games import PREPROCESSING, action_meanings
from distill.networks import QNetwork
from distill.onnx_graph import build_onnx, export_onnx
from tests.support.real_frames import real_frames

ACTIONS = {"pong": 6, "breakout": 4, "freeway": 3}


@pytest.mark.parametrize("name", ["net2", "multi3"])
@pytest.mark.parametrize("games", [(), ("breakout",), ("freeway", "pong")])
def test_an_exported_file_computes_what_torch_computes(name: str, games: tuple[str, ...], tmp_path: Path) -> None:
    network = QNetwork(ARCHITECTURES[name], ACTIONS)
    path = tmp_path / "student.onnx"
    export_onnx(path, network, games)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    chosen = games or tuple(ACTIONS)
    (source,) = session.get_inputs()
    assert (source.name, source.type, source.shape) == ("observations", "tensor(uint8)", ["batch", 4, 84, 84])
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        (f"q_values_{g}", ["batch", ACTIONS[g]]) for g in chosen
    ]
    frames = real_frames("breakout")
    for batch in (frames[:1], frames):
        outputs = session.run(None, {"observations": batch})
        for game, found in zip(chosen, outputs, strict=True):
            with torch.inference_mode():
                expected = network(torch.from_numpy(batch), game).numpy()
            assert np.asarray(found).dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_file_says_what_goes_in_and_what_comes_out(tmp_path: Path) -> None:
    export_onnx(tmp_path / "student.onnx", QNetwork(ARCHITECTURES["net3"], ACTIONS), ["freeway"])
    model = onnx.load(tmp_path / "student.onnx")
    properties = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert properties["actions"] == {"freeway": list(action_meanings("freeway"))}
    assert properties["preprocessing"] == PREPROCESSING


def test_a_game_alone_carries_no_other_controllers() -> None:
    network = QNetwork(ARCHITECTURES["multi3"], ACTIONS)
    sizes = [build_onnx(network, games).ByteSize() for games in (["pong"], ["pong", "breakout"])]
    assert sizes[1] - sizes[0] > 4 * 512 * 128


def test_unknown_games_and_places_are_refused(tmp_path: Path) -> None:
    network = QNetwork(ARCHITECTURES["net3"], ACTIONS)
    with pytest.raises(DistillError, match=r"'qbert'.*pong, breakout, freeway"):
        build_onnx(network, ["qbert"])
    with pytest.raises(ModelFileError, match="cannot be written"):
        export_onnx(tmp_path / "absent" / "student.onnx", network)
