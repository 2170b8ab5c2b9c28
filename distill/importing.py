"""Teachers trained elsewhere: Stable-Baselines3 zips, CleanRL and other plain state dicts, safetensors without a card.

Layers are recognised by their shapes, so keys may have any name. Nothing in a file is executed (`weights_only`), and
nothing larger than the file itself is built.
"""

import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from distill.architectures import ARCHITECTURES, Architecture
from distill.errors import ModelFileError
from distill.games import STACK
from distill.model_card import MAX_FILE_BYTES, ModelCard, check_actions, is_safetensors, read_bounded, read_card
from distill.models import check_finite
from distill.networks import FEATURE_CELLS, QNetwork

_ZIP, _PICKLE = b"PK", b"\x80"
_FOREIGN_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_SB3_POLICY = "policy.pth"
_SB3_SETTINGS = "data"
_SB3_NETWORK = "q_net."
_CLEANRL_LAYERS = {f"network.{index}" for index in (0, 2, 4, 7, 9)}
_EXPECTED = "three convolutions 8x8, 4x4, 3x3 on 4 frames, then two linear layers"

_Layer = dict[str, Tensor]
"""`weight` and `bias` of one layer."""


def import_teacher(path: Path, game: str) -> tuple[QNetwork, ModelCard]:
    """Read a teacher that another program trained.

    It must have been trained with `distill.games.PREPROCESSING`. A foreign file does not say, so nothing checks it.

    Args:
        path: a Stable-Baselines3 DQN zip (CnnPolicy), a PyTorch state dict, plain or one level deep under a key such as
            "model", or safetensors without a card.
        game: the ROM name of the game it was trained on.

    Returns:
        The network in float32, and a card that says where it came from.

    Raises:
        ModelFileError: if the file is missing, damaged, already native, holds code, or is not a plain DQN of that game.
    """
    data = read_bounded(path)
    name = str(path)
    if is_safetensors(data):
        origin, state = "safetensors", _read_safetensors(path, data)
    elif data.startswith(_ZIP):
        origin, state = _read_zip(name, data)
    elif data.startswith(_PICKLE):
        origin, state = "PyTorch state dict", _read_torch(name, data)
    else:
        raise ModelFileError(f"{name}: expected a zip, a PyTorch file or safetensors, found none of these")
    layers = _layers(name, state)
    if layers.keys() == _CLEANRL_LAYERS:
        origin = "CleanRL dqn_atari"
    network = _build(name, layers, game)
    source = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "format": origin}
    card = ModelCard("teacher", network.architecture, dict(network.actions), training={"imported_from": source})
    return network, card


def _read_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        read_card(path)
    except ModelFileError:
        pass
    else:
        raise ModelFileError(f"{path}: already a model file of this project; use it as it is")
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise ModelFileError(f"{path}: damaged safetensors: {error}") from error


def _read_zip(name: str, data: bytes) -> tuple[str, Mapping[str, Tensor]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_FILE_BYTES:
                raise ModelFileError(f"{name}: its members declare {size} bytes, expected at most {MAX_FILE_BYTES}")
            if _SB3_POLICY in archive.namelist():
                return "Stable-Baselines3 DQN", _read_sb3(name, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ModelFileError(f"{name}: truncated or damaged zip: {error}") from error
    return "PyTorch state dict", _read_torch(name, data)


def _read_sb3(name: str, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    state = _read_torch(f"{name}: {_SB3_POLICY}", archive.read(_SB3_POLICY))
    network = {key: tensor for key, tensor in state.items() if key.startswith(_SB3_NETWORK)}
    if not network:
        found = ", ".join(sorted({key.split(".")[0] for key in state}))
        raise ModelFileError(f"{name}: expected a DQN of Stable-Baselines3, with a q_net; found a policy of {found}")
    try:
        settings: Any = json.loads(archive.read(_SB3_SETTINGS))
        scaled = (settings["policy_kwargs"] or {}).get("normalize_images", True)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"{name}: member {_SB3_SETTINGS}: expected the JSON of a DQN's settings: {error!r}"
        ) from error
    if scaled in (False, "False"):
        raise ModelFileError(f"{name}: expected pixels divided by 255, found a policy with normalize_images=False")
    return network


def _read_torch(name: str, data: bytes) -> Mapping[str, Tensor]:
    try:
        content: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        held = _FOREIGN_GLOBAL.search(str(error))
        found = f"found {held[1]}" if held else "found none of them, or a damaged file"
        raise ModelFileError(
            f"{name}: expected tensors alone, as torch.save(network.state_dict(), ...) writes them, {found};"
            " other Python objects can run code and are refused"
        ) from error
    except Exception as error:  # what a damaged file raises in PyTorch's reader has no common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{name}: not a model file, truncated or damaged: {reason}") from error
    return _state_dict(name, content)


def _state_dict(name: str, content: object) -> Mapping[str, Tensor]:
    if _is_state_dict(content):
        return content
    nested = cast(dict[Any, Any], content) if isinstance(content, dict) else {}
    # A target network lags behind the one that it copies, which is the one to take.
    found = [key for key, value in nested.items() if _is_state_dict(value) and "target" not in str(key)]
    if len(found) != 1:
        seen = f"{len(found)} of them under {found}" if found else f"{type(content).__name__} {list(nested)[:8]}"
        raise ModelFileError(f"{name}: expected one state dict, plain or one level deep; found {seen}")
    return nested[found[0]]


def _is_state_dict(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in cast(Mapping[Any, Any], value).items())


def _layers(name: str, state: Mapping[str, Tensor]) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    for key, tensor in state.items():
        prefix, _, part = key.rpartition(".")
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise ModelFileError(f"{name}: tensor {key}: expected plain floats, found {tensor.dtype} {tensor.layout}")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelFileError(f"{name}: tensor {key}: declares {list(tensor.shape)}, more than its stored bytes")
        layers.setdefault(prefix, {})[part] = tensor
    if len(layers) != 5 or any(layer.keys() != {"weight", "bias"} for layer in layers.values()):
        raise ModelFileError(f"{name}: expected {_EXPECTED}; found {_shapes(layers)}")
    return layers


def _shapes(layers: Mapping[str, _Layer]) -> str:
    found = [f"{prefix}.{part} {list(t.shape)}" for prefix, layer in layers.items() for part, t in layer.items()]
    return ", ".join(found[:16]) + (" ..." if len(found) > 16 else "")


def _build(name: str, layers: Mapping[str, _Layer], game: str) -> QNetwork:
    misfit = ModelFileError(f"{name}: expected {_EXPECTED}; found {_shapes(layers)}")
    by_kernel = {tuple(layer["weight"].shape[2:]): layer for layer in layers.values() if layer["weight"].dim() == 4}
    linear = [layer for layer in layers.values() if layer["weight"].dim() == 2]
    if by_kernel.keys() != {(8, 8), (4, 4), (3, 3)} or len(linear) != 2:
        raise misfit
    convolutions = [by_kernel[kernel] for kernel in ((8, 8), (4, 4), (3, 3))]
    first, second, third = (int(layer["weight"].shape[0]) for layer in convolutions)
    if linear[0]["weight"].shape[1] != third * FEATURE_CELLS:
        linear.reverse()
    fc, head = linear
    hidden, actions = (int(layer["weight"].shape[0]) for layer in (fc, head))
    inputs = [layer["weight"].shape[1] for layer in (*convolutions, fc, head)]
    if inputs != [STACK, first, second, third * FEATURE_CELLS, hidden]:
        raise misfit
    check_actions(name, game, actions)
    with torch.device("meta"):
        network = QNetwork(_architecture((first, second, third), hidden), {game: actions})
    modules = ("conv1", "conv2", "conv3", "fc", f"heads.{game}.0")
    parameters = {
        f"{module}.{part}": tensor.float().clone(memory_format=torch.contiguous_format)
        for module, layer in zip(modules, (*convolutions, fc, head), strict=True)
        for part, tensor in layer.items()
    }
    if any(parameters[key].shape != value.shape for key, value in network.state_dict().items()):
        raise misfit
    check_finite(parameters, name)
    network.load_state_dict(parameters, assign=True)
    return network


def _architecture(channels: tuple[int, int, int], hidden: int) -> Architecture:
    for known in ARCHITECTURES.values():
        if (known.channels, known.hidden, known.controller_hidden) == (channels, hidden, None):
            return known
    return Architecture("custom", channels, hidden)
