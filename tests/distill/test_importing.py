import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from distill.architectures import ARCHITECTURES, Architecture
from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.models import load_model, save_model
from tests.support.foreign_networks import CleanRLQNetwork, PlainNetwork, plain, saved, sb3
from tests.support.real_frames import assert_same, real_frames

TEACHERS = Path(__file__).parents[2] / "teachers"


def test_stable_baselines3(tmp_path: Path) -> None:
    model = sb3(6)
    model.save(tmp_path / "dqn.zip")
    network, card = import_teacher(tmp_path / "dqn.zip", "pong")
    frames = torch.from_numpy(real_frames("pong"))
    with torch.no_grad():
        assert_same(network, "pong", model.q_net(frames))
    actions, _ = model.predict(real_frames("pong"), deterministic=True)
    with torch.inference_mode():
        assert (network(frames, "pong").argmax(1).numpy() == actions).all()
    assert card.architecture == ARCHITECTURES["teacher"]
    assert card.training["imported_from"]["format"] == "Stable-Baselines3 DQN"
    assert card.training["protocol"] == "sb3"
    with pytest.raises(ModelFileError, match=r"breakout has 4 actions \(ALE's minimal set\), found 6"):
        import_teacher(tmp_path / "dqn.zip", "breakout")


def test_other_stable_baselines3_policies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        # As SAC and TD3 call theirs, which are for continuous actions.
        archive.write(saved(tmp_path / "policy.pth", {"actor.mu.weight": torch.ones(1, 2)}), "policy.pth")
    with pytest.raises(
        ModelFileError, match=r"expected a network of Stable-Baselines3 for discrete actions.*found actor"
    ):
        import_teacher(path, "pong")
    sb3(6, net_arch=[64]).save(path)
    with pytest.raises(ModelFileError, match=r"expected three convolutions.*q_net.q_net.2.weight \[6, 64\]"):
        import_teacher(path, "pong")
    sb3(6, normalize_images=False).save(path)
    with pytest.raises(ModelFileError, match="normalize_images=False"):
        import_teacher(path, "pong")


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_cleanrl(tmp_path: Path, options: dict[str, Any]) -> None:
    model = CleanRLQNetwork(6)
    network, card = import_teacher(saved(tmp_path / "q.pth", model.state_dict(), **options), "pong")
    with torch.no_grad():
        assert_same(network, "pong", model(torch.from_numpy(real_frames("pong"))))
    assert card.training["imported_from"]["format"] == "CleanRL dqn_atari"
    assert card.training["protocol"] == "cleanrl"


@pytest.mark.parametrize("nest", [lambda s: s, lambda s: {"model": s, "epoch": 3, "optimizer": {"state": {}}}])
def test_any_names_order_and_sizes(tmp_path: Path, nest: Any) -> None:
    model = PlainNetwork()
    network, card = import_teacher(saved(tmp_path / "q.pth", nest(model.state_dict())), "breakout")
    with torch.no_grad():
        assert_same(network, "breakout", model(torch.from_numpy(real_frames("breakout"))))
    assert card.architecture == Architecture("custom", (8, 24, 16), 200)


def test_of_a_network_and_its_target_the_network_is_taken(tmp_path: Path) -> None:
    network, target = plain(), plain()
    path = saved(tmp_path / "q.pth", {"target_network": target, "q_network": network})
    assert torch.equal(import_teacher(path, "pong")[0].conv1.weight, network["network.0.weight"])
    with pytest.raises(ModelFileError, match=r"2 of them, under a\.network, b\.network"):
        import_teacher(saved(path, {"a": network, "b": target}), "pong")


def test_safetensors_without_a_card_and_saving_what_was_imported(tmp_path: Path) -> None:
    model = CleanRLQNetwork(6).half()
    path = tmp_path / "q.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    network, card = import_teacher(path, "pong")
    with torch.no_grad():
        assert_same(network, "pong", model.float()(torch.from_numpy(real_frames("pong"))))
    save_model(tmp_path / "native.safetensors", network, card)
    assert load_model(tmp_path / "native.safetensors")[1] == card
    with pytest.raises(ModelFileError, match="already a model file of this project"):
        import_teacher(tmp_path / "native.safetensors", "pong")


@pytest.mark.parametrize(("key", "shape"), [
    ("network.0.weight", (32, 3, 8, 8)),
    ("network.0.weight", (32, 4, 7, 7)),
    ("network.2.weight", (64, 16, 4, 4)),
    ("network.4.bias", (63,)),
    ("network.7.weight", (512, 3135)),
    ("network.9.weight", (6, 256)),
    ("network.9.bias", (6, 1)),
])  # fmt: skip
def test_wrong_shapes(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    state = plain() | {key: torch.zeros(shape)}
    with pytest.raises(ModelFileError, match="expected three convolutions 8x8, 4x4, 3x3 on 4 frames, then two linear"):
        import_teacher(saved(tmp_path / "q.pth", state), "pong")


def test_wrong_contents(tmp_path: Path) -> None:
    path = tmp_path / "q.pth"
    state = plain()
    bias = state["network.9.bias"]
    cases: list[tuple[object, str]] = [
        (state | {"network.9.bias": bias * float("nan")}, "heads.pong.0.bias: expected finite"),
        (state | {"network.9.bias": bias.to(torch.int64)}, "expected plain floats, found torch.int64"),
        (state | {"network.7.weight": torch.zeros(1).expand(512, 3136)}, "more than its stored bytes"),
        (state | {"network.11.weight": bias, "network.11.bias": bias}, "expected three convolutions"),
        ({"network.0.weight": bias}, "expected three convolutions"),
        ({}, "expected one state dict.*found dict"),
        ([1, 2], "expected one state dict.*found list"),
        (nn.Linear(2, 2), "found torch.nn.modules.linear.Linear; other Python objects can run code"),
    ]
    for value, message in cases:
        with pytest.raises(ModelFileError, match=message) as caught:
            import_teacher(saved(path, value), "pong")
        assert str(caught.value).startswith(str(path))
    with pytest.raises(ModelFileError, match=r"'pongg'.*did you mean pong"):
        import_teacher(saved(path, state), "pongg")


class Intruder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    intruder, path = Intruder(tmp_path / "intruded"), tmp_path / "q.pth"
    files = [
        saved(path, {"model": intruder}),
        saved(tmp_path / "legacy.pth", intruder, _use_new_zipfile_serialization=False),
    ]
    files.append(tmp_path / "plain.pkl")
    files[-1].write_bytes(pickle.dumps(intruder, protocol=2))
    files.append(tmp_path / "sb3.zip")
    with zipfile.ZipFile(files[-1], "w") as archive:
        archive.writestr("policy.pth", path.read_bytes())
    for file in files:
        with pytest.raises(ModelFileError, match="other Python objects can run code and are refused"):
            import_teacher(file, "pong")
    assert not intruder.path.exists()


def test_truncated_missing_and_foreign_files(tmp_path: Path) -> None:
    whole = {
        "zip": saved(tmp_path / "q.pth", plain()).read_bytes(),
        "legacy": saved(tmp_path / "l.pth", plain(), _use_new_zipfile_serialization=False).read_bytes(),
        "safetensors": safetensors.torch.save(plain()),
    }
    path = tmp_path / "short"
    for data in whole.values():
        for length in (9, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            with pytest.raises(ModelFileError, match="damaged"):
                import_teacher(path, "pong")
    with pytest.raises(ModelFileError, match="nothing there"):
        import_teacher(tmp_path / "absent", "pong")


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("policy.pth", "w") as out,
    ):
        for _ in range(520):
            out.write(bytes(2**20))
    with pytest.raises(ModelFileError, match="its members declare 545259520 bytes"):
        import_teacher(path, "pong")


def damaged(data: bytes, random: np.random.Generator, head: int) -> bytes:
    result = bytearray(data)
    for position in random.integers(min(head, len(data)), size=random.integers(1, 6)):
        result[position] = random.integers(256)
    return bytes(result)


@pytest.mark.parametrize("kind", ["zip", "legacy", "sb3"])
def test_damaged_files_are_refused_or_read_whole(tmp_path: Path, kind: str) -> None:
    state: Mapping[str, Tensor] = PlainNetwork().state_dict()
    path = tmp_path / "q"
    if kind == "sb3":
        sb3(6).save(path)
        path = path.with_suffix(".zip") if not path.exists() else path
    else:
        saved(path, state, _use_new_zipfile_serialization=kind == "zip")
    data, random = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        path.write_bytes(damaged(data, random, 1500))
        try:
            import_teacher(path, "pong" if kind == "sb3" else "breakout")
        except ModelFileError:
            refused += 1
    assert refused > 0
